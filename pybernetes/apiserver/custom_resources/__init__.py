"""Custom resources: what CustomResourceDefinitions define, served like everything else.

A definition comes in through the ordinary registry. `manager` follows them: it accepts their names (`definitions`, pure), makes
a `kinds.CustomKind` of each served version, puts it where the server looks kinds up, and disposes of the instances when a
definition is deleted. `converter` asks conversion webhooks (what: `conversion`, pure).
`columns` prints, `documents` describes (OpenAPI).

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/
"""
