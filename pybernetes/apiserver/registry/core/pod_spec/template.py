"""Pod templates of workloads: defaulting, validation, and the rules that tie a selector to its template's labels."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.core.pod_spec import defaults, spec
from pybernetes.machinery import labels
from pybernetes.machinery.errors import BadRequest, FieldError
from pybernetes.machinery.meta import Object


def set_template(owner: Object) -> None:
    """`template` of the owner's spec; Go shows both of its parts even where they are empty."""
    template = owner.setdefault("template", {})
    if template is None:
        template = owner["template"] = {}
    template.setdefault("metadata", {})
    pod_spec = template.setdefault("spec", {})
    defaults.set_pod_spec(pod_spec)


def validate_template(
    template: Object, path: str, owner: str = "", *, restart_policies: tuple[str, ...] = ("Always",)
) -> Iterator[FieldError]:
    """The template apart from the selector. `owner`: the kind, where it wants pods that are always restarted."""
    metadata = template.get("metadata") or {}
    yield from checks.label_map(metadata.get("labels"), path + ".labels")
    yield from checks.annotation_map(metadata.get("annotations"), path + ".annotations")
    pod_spec = template.get("spec") or {}
    yield from spec.validate(pod_spec, path + ".spec", in_pod=False)
    if pod_spec.get("ephemeralContainers"):
        yield FieldError.forbidden(path + ".spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
    policy = pod_spec.get("restartPolicy", "")
    if policy in spec.RESTART_POLICIES and policy not in restart_policies:
        yield FieldError.not_supported(path + ".spec.restartPolicy", policy, restart_policies)
    if owner and pod_spec.get("activeDeadlineSeconds") is not None:
        sentence = f"activeDeadlineSeconds in {owner} is not Supported"
        yield FieldError.forbidden(path + ".spec.activeDeadlineSeconds", sentence)


def validate_for_selector(template: Object, selector: Object | None, path: str, owner: str) -> Iterator[FieldError]:
    """The template of a workload with a `metav1.LabelSelector`, which must choose the template's pods."""
    yield from mismatch(template, selector, path)
    yield from validate_template(template, path, owner)


def mismatch(template: Object, selector: Object | None, path: str) -> Iterator[FieldError]:
    """An absent selector chooses nothing, an empty one everything."""
    template_labels = (template.get("metadata") or {}).get("labels")
    try:
        matches = labels.from_label_selector(selector).matches(template_labels)
    except BadRequest:
        return  # the selector's own check says so
    if not matches:
        sentence = "`selector` does not match template `labels`"
        yield FieldError.invalid(path + ".metadata.labels", template_labels or None, sentence)
