"""What may change in a pod after its creation: images, deadlines, tolerations (added), scheduling gates (removed), and
through their own subresources ephemeral containers and resources."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pybernetes.apiserver.registry import checks, diffs
from pybernetes.apiserver.registry.core.pod_spec import scheduling, spec
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of
from pybernetes.machinery.pod_resources import qos_class

MIRROR = "kubernetes.io/config.mirror"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_FORBIDDEN = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_annotations(new, old)
    new_spec, old_spec = new["spec"], old["spec"]
    for field in ("containers", "initContainers"):
        found, fatal = _containers(new_spec.get(field) or [], old_spec.get(field) or [], f"spec.{field}")
        yield from found
        if fatal:
            return
    deadline_errors, fatal = _deadline(new_spec, old_spec)
    yield from deadline_errors
    if fatal:
        return
    yield from _tolerations(new_spec.get("tolerations") or [], old_spec.get("tolerations") or [])
    gated = bool(old_spec.get("schedulingGates"))
    yield from _gates(new_spec, old_spec)
    if new_spec == old_spec:
        return
    munged = dict(new_spec)
    for field in ("containers", "initContainers"):
        if field in munged:
            munged[field] = [
                {**one, "image": was.get("image")} for one, was in zip(munged[field], old_spec[field], strict=True)
            ]
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _take(munged, old_spec, field)
    if old_spec.get("terminationGracePeriodSeconds", 0) < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        _take(munged, old_spec, "terminationGracePeriodSeconds")
    if gated:  # KEP-3838: what would make fewer nodes fit may still be added
        yield from _node_selector(new_spec, old_spec)
        yield from _node_affinity(new_spec, old_spec)
        _take(munged, old_spec, "nodeSelector")
        _take(munged, old_spec, "affinity")
    if munged != old_spec:
        yield FieldError.forbidden("spec", _FORBIDDEN + diffs.unified(old_spec, munged))


def _take(into: Object, source: Object, field: str) -> None:
    if field in source:
        into[field] = source[field]
    else:
        into.pop(field, None)


def validate_annotations(new: Object, old: Object) -> Iterator[FieldError]:
    """Mirror pods and AppArmor profiles are what they were created as."""
    now, before = annotations_of(new), annotations_of(old)
    if now == before:
        return
    for key in before:
        if now.get(key) != before[key]:
            if key.startswith(_APP_ARMOR):
                yield FieldError.forbidden(f"metadata.annotations[{key}]", "may not remove or update AppArmor annotations")
            if key == MIRROR:
                yield FieldError.forbidden(f"metadata.annotations[{key}]", "may not remove or update mirror pod annotation")
    for key in now.keys() - before.keys():
        if key.startswith(_APP_ARMOR):
            yield FieldError.forbidden(f"metadata.annotations[{key}]", "may not add AppArmor annotations")
        if key == MIRROR:
            yield FieldError.forbidden(f"metadata.annotations[{key}]", "may not add mirror pod annotation")


def _containers(new: list[Object], old: list[Object], path: str) -> tuple[list[FieldError], bool]:
    if len(new) != len(old):
        return [FieldError.forbidden(path, "pod updates may not add or remove containers")], True
    found = []
    for i, container in enumerate(new):
        image = container.get("image", "")
        if not image:
            found.append(FieldError.required(f"{path}[{i}].image"))
        elif image != image.strip():
            sentence = "must not have leading or trailing whitespace"
            found.append(FieldError.invalid(f"{path}[{i}].image", image, sentence))
    return found, False


def _deadline(new: Object, old: Object) -> tuple[list[FieldError], bool]:
    path, now, before = "spec.activeDeadlineSeconds", new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if now is None:
        if before is None:
            return [], False
        return [FieldError.invalid(path, None, "must not update from a positive integer to nil value")], False
    if found := list(checks.between(now, 0, checks.MAX_INT32, path)):
        return found, True
    if before is not None and before < now:
        return [FieldError.invalid(path, now, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(new: list[Object], old: list[Object]) -> Iterator[FieldError]:
    if new == old:
        return
    kept = [_without_seconds(toleration) for toleration in new]
    if any(_without_seconds(toleration) not in kept for toleration in old):
        sentence = "existing toleration can not be modified except its tolerationSeconds"
        yield FieldError.forbidden("spec.tolerations", sentence)
        return
    yield from scheduling.validate_tolerations(new, "spec.tolerations")


def _without_seconds(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _gates(new: Object, old: Object) -> Iterator[FieldError]:
    names = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for i, gate in enumerate(new.get("schedulingGates") or ()):
        name = gate.get("name", "")
        if name not in names:
            sentence = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield FieldError.forbidden(f"spec.schedulingGates[{i}].name", sentence)


def _node_selector(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(now.get(key) != value for key, value in before.items()):
        sentence = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield FieldError.invalid("spec.nodeSelector", now or None, sentence)


def _node_affinity(new: Object, old: Object) -> Iterator[FieldError]:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    now, before = (new.get("affinity") or {}).get("nodeAffinity") or {}, (old.get("affinity") or {}).get("nodeAffinity") or {}
    new_terms = (now.get(required) or {}).get("nodeSelectorTerms") or []
    old_terms = (before.get(required) or {}).get("nodeSelectorTerms") or []
    if not old_terms:
        return
    path = f"spec.affinity.nodeAffinity.{required}.nodeSelectorTerms"
    if len(new_terms) != len(old_terms):
        sentence = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield FieldError.invalid(path, new_terms, sentence)
        return
    for i, (term, was) in enumerate(zip(new_terms, old_terms, strict=True)):
        for field in ("matchExpressions", "matchFields"):
            if any(one not in (term.get(field) or ()) for one in was.get(field) or ()) or (not was and term):
                sentence = "only additions are allowed (no mutations or deletions)"
                yield FieldError.invalid(f"{path}[{i}]", term, sentence)
                break


def keep_all_but_ephemeral_containers(new: Object, old: Object) -> None:
    """What may be written through `/ephemeralcontainers`."""
    added = new["spec"].get("ephemeralContainers")
    new["spec"] = dict(old["spec"])
    if added:
        new["spec"]["ephemeralContainers"] = added
    else:
        new["spec"].pop("ephemeralContainers", None)
    if "status" in old:
        new["status"] = old["status"]


def validate_ephemeral_containers(new: Object, old: Object) -> Iterator[FieldError]:
    """KEP-277: they come, and never change or go."""
    yield from spec.validate(new["spec"])
    path = "spec.ephemeralContainers"
    now = {container.get("name"): (i, container) for i, container in enumerate(new["spec"].get("ephemeralContainers") or ())}
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in now:
            yield FieldError.forbidden(path, f"existing ephemeral containers {json.dumps(name)} may not be removed\n")
        elif now[name][1] != container:
            sentence = f"existing ephemeral containers {json.dumps(name)} may not be changed\n"
            yield FieldError.forbidden(path, sentence + diffs.unified(container, now[name][1]))


def keep_all_but_resources(new: Object, old: Object) -> None:
    """What may be written through `/resize` (KEP-1287): resources and resize policies of the containers that there are."""
    wanted = new["spec"]
    new["spec"] = dict(old["spec"])
    for field in ("containers", "initContainers"):
        changes = {container.get("name"): container for container in wanted.get(field) or ()}
        if field in old["spec"]:
            new["spec"][field] = [_resized(container, changes.get(container.get("name"))) for container in old["spec"][field]]
    if "resources" in wanted:
        new["spec"]["resources"] = wanted["resources"]
    if "status" in old:
        new["status"] = old["status"]


def _resized(container: Object, wanted: Object | None) -> Object:
    if wanted is None:
        return container
    resized = dict(container)
    for field in ("resources", "resizePolicy"):
        _take(resized, wanted, field)
    resized.setdefault("resources", {})
    return resized


def validate_resize(new: Object, old: Object) -> Iterator[FieldError]:
    yield from spec.validate(new["spec"])
    if (old.get("status") or {}).get("qosClass", "") != qos_class(new):
        yield FieldError.invalid("spec", qos_class(old), "Pod QOS Class may not change as a result of resizing")
    for field in ("containers", "initContainers"):
        for i, (container, was) in enumerate(zip(new["spec"].get(field) or (), old["spec"].get(field) or (), strict=True)):
            if container is was:
                continue
            now, before, path = container.get("resources") or {}, was.get("resources") or {}, f"spec.{field}[{i}].resources"
            for which in ("limits", "requests"):
                if set(before.get(which) or ()) - set(now.get(which) or ()):
                    yield FieldError.forbidden(f"{path}.{which}", f"resource {which} cannot be removed")
            for which in ("limits", "requests"):
                for name in sorted({*(now.get(which) or ()), *(before.get(which) or ())} - {"cpu", "memory"}):
                    if (now.get(which) or {}).get(name) != (before.get(which) or {}).get(name):
                        sentence = "only cpu and memory resources are mutable"
                        yield FieldError.forbidden(path, sentence)
