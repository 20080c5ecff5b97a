"""What the kubelet serves: pods, logs, exec, attach, port-forward, metrics (port 10250)."""
