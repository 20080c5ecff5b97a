"""What a write must look like: plugins that complete an object, and plugins that refuse it.

    chain = build(reader, ...)
    await chain.admit(request) (mutates), then the kind's own validation, then await chain.validate(request)

Start at `chain.py`: it alone decides the order. One file per plugin, each named as upstream's; a folder for webhooks and one
for policies. What these two share is beside them: `matching` (which requests), `versions` and `described` (as what they are
seen), `conditions`, `evaluation` and `verdicts` (expressions), `mutation` (second rounds).

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from pybernetes.apiserver.admission.chain import Chain, build

__all__ = ["Chain", "build"]
