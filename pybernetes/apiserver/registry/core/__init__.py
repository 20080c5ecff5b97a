"""The core group (`v1`): one module per kind; `pod_spec/` is what pods and all pod templates share."""
