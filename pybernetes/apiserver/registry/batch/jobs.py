"""Jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core.pod_spec import spec as pod_spec
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, condition, is_being_deleted, name_of, uid_of
from pybernetes.machinery.resources import JOBS
from pybernetes.machinery.table import human_duration

_PREFIX = "batch.kubernetes.io/"
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
           "backoffLimitPerIndex", "maxFailedIndexes")  # fmt: skip
_IMMUTABLE = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")  # and affinity.nodeAffinity, labels, annotations


def default(job: Object) -> None:
    spec = job.setdefault("spec", {})
    template.set_template(spec)
    put = spec.setdefault
    if spec.get("parallelism") is None:
        if spec.get("completions") is None:
            spec["completions"] = 1
        spec["parallelism"] = 1
    put("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else checks.MAX_INT32)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        # The very same labels: those that creation adds to the template are the job's, too.
        job["metadata"]["labels"] = labels
    put("completionMode", "NonIndexed")
    put("suspend", False)
    put("manualSelector", False)
    put("podReplacementPolicy", "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed")
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def prepare_for_create(_: Context, job: Object) -> None:
    job["status"] = {}
    spec = job["spec"]
    if spec.get("manualSelector"):
        return
    metadata = spec["template"]["metadata"]
    shared = job["metadata"].get("labels") is metadata.get("labels")
    labels = dict(metadata.get("labels") or {})
    for key, value in (("controller-uid", uid_of(job)), ("job-name", name_of(job))):
        labels.setdefault(key, value)
        labels.setdefault(_PREFIX + key, value)
    metadata["labels"] = labels
    if shared:
        job["metadata"]["labels"] = dict(labels)
    selector = spec.setdefault("selector", {})
    match = selector.setdefault("matchLabels", {})
    match.setdefault(_PREFIX + "controller-uid", uid_of(job))


def validate(job: Object) -> Iterator[FieldError]:
    spec = job["spec"]
    yield from _validate_generated(job)
    yield from validate_job_spec(spec, "spec")


def _validate_generated(job: Object) -> Iterator[FieldError]:
    """Without `manualSelector` the selector is the server's to choose; a client may only repeat it."""
    spec = job["spec"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].get("labels") or {}
    for key, value in ((_PREFIX + "controller-uid", uid_of(job)), (_PREFIX + "job-name", name_of(job))):
        if key in labels and labels[key] != value:
            yield FieldError.invalid("spec.template.metadata.labels", labels, f"must be '{value}'")
    match = (spec.get("selector") or {}).get("matchLabels") or {}
    if set(match) - {_PREFIX + "controller-uid", "controller-uid"} or uid_of(job) not in match.values():
        sentence = "`selector` not auto-generated"
        yield checks.invalid_selector("spec.selector", spec.get("selector"), sentence)


def validate_job_spec(spec: Object, path: str, *, template_of_cron_job: bool = False) -> Iterator[FieldError]:
    for field in _COUNTS:
        yield from checks.not_negative(spec.get(field), f"{path}.{field}")
    if spec.get("managedBy") is not None:
        yield from checks.invalid_by(path + ".managedBy", spec["managedBy"], validation.domain_prefixed_path_errors)
        if len(spec["managedBy"]) > 63:
            yield FieldError.too_long(path + ".managedBy", 63)
    mode = spec.get("completionMode")
    if mode is not None:
        yield from checks.one_of(mode, ("NonIndexed", "Indexed"), path + ".completionMode")
        if mode == "Indexed" and spec.get("completions") is None:
            yield FieldError.required(path + ".completions", f"when completion mode is {mode}")
    if mode != "Indexed" and spec.get("backoffLimitPerIndex") is not None:
        sentence = "requires indexed completion mode"
        yield FieldError.invalid(path + ".backoffLimitPerIndex", spec["backoffLimitPerIndex"], sentence)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield FieldError.required(path + ".backoffLimitPerIndex", "when maxFailedIndexes is specified")
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        choices = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        yield from checks.one_of(replacement, choices, path + ".podReplacementPolicy")
    if spec.get("selector") is None:
        if not template_of_cron_job:
            yield FieldError.required(path + ".selector")
    elif template_of_cron_job:
        sentence = "`selector` will be auto-generated"
        yield checks.invalid_selector(path + ".selector", spec["selector"], sentence)
    else:
        yield from checks.label_selector(spec["selector"], path + ".selector")
        yield from template.mismatch(spec["template"], spec["selector"], path + ".template")
    yield from template.validate_template(spec["template"], path + ".template", restart_policies=pod_spec.RESTART_POLICIES)
    if (spec["template"].get("spec") or {}).get("restartPolicy") == "Always":
        sentence = 'valid values: "OnFailure", "Never"'
        yield FieldError.required(path + ".template.spec.restartPolicy", sentence)
    if spec.get("podFailurePolicy") is not None:
        yield from _validate_failure_policy(spec, path)
    if spec.get("successPolicy") is not None and mode != "Indexed":
        yield FieldError.invalid(path + ".successPolicy", spec["successPolicy"], "requires indexed completion mode")


def _validate_failure_policy(spec: Object, path: str) -> Iterator[FieldError]:
    """KEP-3329."""
    here = path + ".podFailurePolicy.rules"
    restart = (spec["template"].get("spec") or {}).get("restartPolicy", "")
    if restart != "Never":
        sentence = 'only "Never" is supported when podFailurePolicy is specified'
        yield FieldError.invalid(path + ".template.spec.restartPolicy", restart, sentence)
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > 20:
        yield FieldError.too_many(here, len(rules), 20)
    for i, rule in enumerate(rules):
        actions = ("Count", "FailIndex", "FailJob", "Ignore")
        yield from checks.required_one_of(rule.get("action", ""), actions, f"{here}[{i}].action")
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None and conditions:
            sentence = "specifying both OnExitCodes and OnPodConditions is not supported"
            yield FieldError.invalid(f"{here}[{i}]", rule, sentence)
        elif codes is None and not conditions:
            sentence = "specifying one of OnExitCodes and OnPodConditions is required"
            yield FieldError.invalid(f"{here}[{i}]", rule, sentence)
        if codes is not None:
            yield from checks.required_one_of(codes.get("operator", ""), ("In", "NotIn"), f"{here}[{i}].onExitCodes.operator")
            if not codes.get("values"):
                sentence = "at least one value is required"
                yield FieldError.invalid(f"{here}[{i}].onExitCodes.values", codes.get("values"), sentence)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    elastic = now.get("completionMode") == "Indexed" and now.get("completions") == now.get("parallelism")
    if not elastic:
        yield from checks.immutable(now.get("completions"), before.get("completions"), "spec.completions")
    for field in _IMMUTABLE:
        yield from checks.immutable(now.get(field), before.get(field), f"spec.{field}")
    was_idle = before.get("suspend") and not (old.get("status") or {}).get("startTime")
    new_template, old_template = now["template"], before["template"]
    if was_idle:  # KEP-2926
        new_template, old_template = _fixed_part(new_template), _fixed_part(old_template)
    if new_template != old_template:
        yield FieldError.invalid("spec.template", now["template"], checks.IMMUTABLE)


def _fixed_part(pod_template: Object) -> Object:
    """The template without what may change while the job has not started."""
    inner = {field: value for field, value in (pod_template.get("spec") or {}).items() if field not in _SCHEDULING}
    if inner.get("affinity"):
        inner["affinity"] = {field: value for field, value in inner["affinity"].items() if field != "nodeAffinity"}
    if not inner.get("affinity"):
        inner.pop("affinity", None)
    metadata = {field: value for field, value in pod_template["metadata"].items() if field not in ("labels", "annotations")}
    return {"metadata": metadata, "spec": inner}


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    yield from replicas.validate_counts(new, ("active", "succeeded", "failed", "ready", "terminating"))


def cells(job: Object, now: datetime) -> list[Any]:
    spec, status = job["spec"], job.get("status") or {}
    succeeded, completions, parallelism = status.get("succeeded", 0), spec.get("completions"), spec.get("parallelism") or 0
    if completions is not None:
        progress = f"{succeeded}/{completions}"
    else:
        progress = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration(end - parse_time(status["startTime"]))
    return [name_of(job), _state(job), progress, duration, printing.age(job, now), *replicas.wide_cells(job)]


def _state(job: Object) -> str:
    conditions = (job.get("status") or {}).get("conditions")

    def holds(type_: str) -> bool:
        found = condition(conditions, type_)
        return found is not None and found.get("status") == "True"

    for type_ in ("Complete", "Failed"):
        if holds(type_):
            return type_
    if is_being_deleted(job):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if holds(type_):
            return type_
    return "Running"


STRATEGY = Strategy(
    resource=JOBS,
    default=default,
    prepare_for_create=prepare_for_create,
    validate=validate,
    validate_update=validate_update,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    default_garbage_policy="Orphan",
    selectable_fields={"status.successful": lambda job: str((job.get("status") or {}).get("succeeded", 0))},
    columns=(NAME, Column("Status"), Column("Completions"), Column("Duration"), AGE, *replicas.WIDE_COLUMNS),
    cells=cells,
)
