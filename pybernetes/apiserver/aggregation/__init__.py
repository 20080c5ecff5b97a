"""Extension API servers: groups and versions that somebody else serves, behind this server's address and authorization.

APIService objects say which. `local_services` keeps those of the groups served here, `availability` says of the others whether
they answer, `proxy` sends their requests on as the user who asks (front-proxy headers), `merging` joins their discovery and
OpenAPI with ours, and `front_proxy` publishes how extension servers recognise us.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""
