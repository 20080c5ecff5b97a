"""The audit log: who asked for what, and what came of it.

`policy` decides (pure) how much of a request is worth recording; `record` makes the events of one request; `log` writes them.
Source: the Kubernetes documentation, "Auditing"; `audit.k8s.io/v1`.
"""
