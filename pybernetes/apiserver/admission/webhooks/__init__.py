"""Admission webhooks: servers outside that change or refuse what is written.

    configuration objects → `hooks` (compiled) → `matching` (which hooks, in which version) → `review` (question and answer)
    → `client` (the call) → `mutating`, `validating` (the plugins: order, patches, failures)

`hooks`, `matching` and `review` are pure. Start at `validating.py`, the simpler of the two plugins.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""
