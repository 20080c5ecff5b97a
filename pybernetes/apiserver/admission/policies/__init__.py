"""Admission policies: rules in CEL that the server itself holds writes against, or changes them by.

    policies and bindings → `source` (compiled once per revision) → `invocations` (which concern a request, with which
    parameters: `params`) → `validating`, `mutating` (the plugins) over `judging` (what validations say) and `patching` (what
    mutations do)

Everything but the plugins is pure, save for what an authorizer may have to wait for (`admission/evaluation.py`). The CEL engine
is loaded with the first policy. Start at `validating.py`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/,
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""
