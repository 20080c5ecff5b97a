"""Pods of one template: what validation found of one spec holds for the next that says the same.

Such specs differ in one thing, the name of the volume with the token, which admission chooses at random. Any name that it
chooses is as good as another, so long as nothing else in the spec has it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import orjson

from pybernetes.apiserver.registry.core.pod_spec.spec import validate
from pybernetes.apiserver.registry.core.pod_spec.warnings import pod_warnings
from pybernetes.machinery import codec
from pybernetes.machinery.meta import Object

REMEMBERED: Final = 128
SIZE_MAX: Final = 8 * 1024  # bytes of a spec that is remembered
_TOKEN_VOLUME: Final = re.compile(rb'"kube-api-access-[a-z0-9]{5}"')
_ANY: Final = b'"kube-api-access"'


def is_sound(spec: Object) -> bool:
    """Whether there is nothing to say about the spec of a new pod, no error and no warning. Quick for one seen before."""
    raw = codec.dumps(spec)
    if len(raw) > SIZE_MAX:
        return False
    volume = _TOKEN_VOLUME.search(raw)
    if volume is not None and _ANY not in raw:
        raw = raw.replace(volume[0], _ANY)
    return _is_sound(raw)


@lru_cache(REMEMBERED)
def _is_sound(raw: bytes) -> bool:
    spec: Object = orjson.loads(raw)
    return not spec.get("ephemeralContainers") and next(validate(spec), None) is None and next(pod_warnings(spec), None) is None
