"""Changing objects on behalf of somebody outside: who is asked again in a second round, and how what they made is taken.

After a change the whole mutating phase runs once more, so that built-in plugins see what was added; in that second round only
those with `reinvocationPolicy: IfNeeded` are asked again, and only if the object changed since they saw it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import cast

import orjson

from pybernetes.apiserver.admission.interface import AdmissionRequest, Reinvocation
from pybernetes.apiserver.admission.matching import Match
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object
from pybernetes.machinery.schema import strict_error


@dataclass(slots=True)
class Rounds:
    """What a plugin must know of the first round in the second, by keys that tell those whom it asks from each other."""

    reinvocation: Reinvocation
    asked: set[Hashable] = field(default_factory=set)  # and willing to be asked again
    again: set[Hashable] = field(default_factory=set)  # of those, the ones whose object was changed since
    output: bytes = b""  # the object as the last round left it

    @property
    def number(self) -> int:
        return 1 if self.reinvocation.active else 0

    def is_due(self, key: Hashable) -> bool:
        """Who did not match in the first round is not asked in the second, even if it would match now."""
        return not self.reinvocation.active or key in self.again

    def done(self, key: Hashable, *, changed: bool, reinvocable: bool) -> None:
        if changed:
            self._changed()
            self.reinvocation.wanted = True
        if reinvocable:
            self.asked.add(key)

    def end(self, request: AdmissionRequest) -> None:
        self.output = _encoded(request.object)

    def _changed(self) -> None:
        self.again |= self.asked
        self.asked = set()


def begin(request: AdmissionRequest, plugin: str) -> Rounds:
    reinvocation = request.reinvocation
    if reinvocation is None:
        reinvocation = request.reinvocation = Reinvocation()
    rounds = cast(Rounds, reinvocation.state.setdefault(plugin, Rounds(reinvocation)))
    if reinvocation.active and rounds.output != _encoded(request.object):
        rounds._changed()
    return rounds


async def take(
    new: Object, seen: Object, request: AdmissionRequest, match: Match, versions: Versions, *, strictly: bool = False
) -> bool:
    """Make what became of `seen` the request's object, defaulted; whether that is another one.

    What nobody knows is dropped, or (`strictly`) refused. Raises `BadRequest` for what is of another type, `ConversionFailed`.
    """
    if "metadata" in seen and not isinstance(new.get("metadata"), dict):
        new["metadata"] = {}
    unknown = versions.settle(new, match.resource, request.subresource)
    if unknown and strictly:
        raise BadRequest(strict_error((), unknown))
    changed: bool = new != seen
    own = versions.kind_of(request.resource, request.subresource)
    if match.resource != request.resource and own == request.resource.gvk:
        new = await versions.convert(new, match.resource, request.resource)
    rest = {name: value for name, value in new.items() if name not in ("kind", "apiVersion")}
    request.object = {"kind": own.kind, "apiVersion": own.api_version, **rest}
    return changed


def _encoded(obj: Object | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
