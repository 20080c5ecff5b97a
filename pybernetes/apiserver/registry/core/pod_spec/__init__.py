"""What a pod's `spec` means, for pods and for every pod template: defaulting (`defaults`), validation (`spec`, and the parts
below it: `containers`, `volumes`, `scheduling`, `security`, `resources`), updates of a pod (`updates`), warnings.

Start at `defaults.set_pod_spec` and `spec.validate`; workloads use `template`.
"""
