"""The policies that are bound, compiled: what changed since the last look is compiled anew, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.admission.matching import may_concern
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, Resource, name_of

if TYPE_CHECKING:
    from pybernetes.apiserver.admission.policies.compiled import Binding, Policy


class Bound(NamedTuple):
    """A policy, and what binds it (at least one), in the order of their names."""

    policy: Policy
    bindings: Sequence[Binding]


class Source:
    def __init__(self, reader: Reader, policies: Resource, bindings: Resource) -> None:
        self._reader = reader
        self._policies = policies
        self._bindings = bindings
        self._generations = (-1, -1)
        self._bound: Sequence[Bound] = ()
        # By name, with the object that was compiled: the reader gives the same one until it is written.
        self._compiled: dict[str, tuple[Object, Policy]] = {}
        # What is remembered of these policies, in this epoch, by resource, subresource and operation.
        self._sorted: Sequence[Bound] = ()
        self._epoch = -1
        self._concerning: dict[tuple[Resource, str, Operation], Sequence[Bound]] = {}

    @property
    def is_current(self) -> bool:
        return self._generations == self._latest()

    def _latest(self) -> tuple[int, int]:
        return (self._reader.generation(self._policies), self._reader.generation(self._bindings))

    def current(self) -> Sequence[Bound]:
        """In the order of the policies' names. What changed is compiled, which may take long: `by_turns`."""
        generations = self._latest()
        if generations != self._generations:
            self._bound = self._look()
            self._generations = generations
        return self._bound

    def concerning(self, request: AdmissionRequest, versions: Versions) -> Sequence[Bound]:
        """Those that may concern it, by its resource and operation: the others need not be looked at."""
        bound = self.current()
        if not bound:
            return bound
        if bound is not self._sorted or versions.epoch != self._epoch:
            self._sorted, self._epoch = bound, versions.epoch
            self._concerning.clear()
        key = (request.resource, request.subresource, request.operation)
        found = self._concerning.get(key)
        if found is None:
            found = tuple(each for each in bound if may_concern(each.policy.criteria, request, versions))
            self._concerning[key] = found
        return found

    def _look(self) -> Sequence[Bound]:
        bindings = sorted(self._reader.list(self._bindings), key=name_of)
        if not bindings:
            self._compiled = {}
            return ()
        from pybernetes.apiserver.admission.policies.compiled import compile_binding, compile_policy  # loads CEL

        compiled: dict[str, tuple[Object, Policy]] = {}
        found = []
        for obj in sorted(self._reader.list(self._policies), key=name_of):
            name = name_of(obj)
            bound = [compile_binding(binding) for binding in bindings if binding["spec"]["policyName"] == name]
            if bound:
                before = self._compiled.get(name)
                policy = before[1] if before is not None and before[0] is obj else compile_policy(obj)
                compiled[name] = (obj, policy)
                found.append(Bound(policy, bound))
        self._compiled = compiled  # now, since somebody else may have looked meanwhile
        return found
