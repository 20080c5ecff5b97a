"""CertificateSigningRequests: approving those of nodes, signing what is approved, cleaning up.

Contract: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
`requests` reads them; `approving`, `signing` and `cleaner` are the three controllers.
"""
