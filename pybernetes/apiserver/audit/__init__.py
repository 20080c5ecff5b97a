"""The audit log: who asked for what, and what came of it.

`policy` decides (pure) how much of a request is worth recording; `record` makes the events of one request; `backends` says
where they go: `log` and `webhook`, each as its flags (`flags`) have it: at once or `buffered`, whole or cut (`truncate`).
Source: the Kubernetes documentation, "Auditing"; `audit.k8s.io/v1`.
"""
