"""Priority: a pod's priority class becomes its priority.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import PODS, PRIORITY_CLASSES

PREEMPT = "PreemptLowerPriority"


class Priority(AdmissionPlugin):
    name = "Priority"
    resources = (PODS, PRIORITY_CLASSES)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.resource != PODS or request.subresource or pod is None:
            return
        if request.operation is Operation.UPDATE and request.old_object is not None:
            _keep(pod["spec"], request.old_object["spec"])
        elif request.operation is Operation.CREATE:
            self._resolve(request, pod["spec"])

    async def validate(self, request: AdmissionRequest) -> None:
        """There is one default class at most."""
        new = request.object
        if request.resource != PRIORITY_CLASSES or new is None or not new.get("globalDefault"):
            return
        other = default_class(self._reader)
        if other is not None and name_of(other) != name_of(new):
            problem = f"PriorityClass {name_of(other)} is already marked as default. Only one default can exist"
            raise refusal(request, problem)

    def _resolve(self, request: AdmissionRequest, spec: Object) -> None:
        name = spec.get("priorityClassName", "")
        if name:
            found = self._reader.get(PRIORITY_CLASSES, "", name)
            if found is None:
                raise refusal(request, f"no PriorityClass with name {name} was found")
        else:
            found = default_class(self._reader)
            if found is not None:
                spec["priorityClassName"] = name_of(found)
        priority = 0 if found is None else found["value"]
        policy = (found or {}).get("preemptionPolicy", PREEMPT)
        given = spec.get("priority")
        if given is not None and given != priority:
            raise refusal(
                request,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given PriorityClass name",
            )
        chosen = spec.get("preemptionPolicy")
        if chosen is not None and chosen != policy:
            raise refusal(
                request,
                f"the string value of PreemptionPolicy ({chosen}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["priority"] = priority
        spec["preemptionPolicy"] = policy


def default_class(reader: Reader) -> Object | None:
    """The class of pods that name none. Should there be several, the lowest: nobody is preempted by mistake."""
    return min(
        (found for found in reader.list(PRIORITY_CLASSES) if found.get("globalDefault")),
        key=lambda found: int(found["value"]),
        default=None,
    )


def _keep(spec: Object, old_spec: Object) -> None:
    """A pod keeps its priority whatever became of the class; an update that leaves it out means the same."""
    for field in ("priority", "preemptionPolicy"):
        if spec.get(field) is None and old_spec.get(field) is not None:
            spec[field] = old_spec[field]
