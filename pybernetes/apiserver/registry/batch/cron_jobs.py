"""CronJobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.batch.jobs import validate_job_spec
from pybernetes.apiserver.registry.batch.schedules import schedule_error
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CRON_JOBS
from pybernetes.machinery.table import since

NAME_MAX = 52  # the jobs' names append a time of eleven characters


def default(cron_job: Object) -> None:
    spec = cron_job.setdefault("spec", {})
    inner = spec.setdefault("jobTemplate", {})
    inner.setdefault("metadata", {})
    template.set_template(inner.setdefault("spec", {}))
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)


def validate_name(name: str) -> list[str]:
    found = validation.dns_1123_subdomain_errors(name)
    return found if found or len(name) <= NAME_MAX else [f"must be no more than {NAME_MAX} characters"]


def validate(cron_job: Object) -> Iterator[FieldError]:
    spec = cron_job["spec"]
    schedule = spec.get("schedule", "")
    if not schedule:
        yield FieldError.required("spec.schedule")
    else:
        if error := schedule_error(schedule):
            yield FieldError.invalid("spec.schedule", schedule, error)
        if "TZ" in schedule:
            sentence = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            yield FieldError.invalid("spec.schedule", schedule, sentence)
    yield from checks.not_negative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    zone = spec.get("timeZone")
    if zone is not None:
        yield from _validate_zone(zone)
    policies = ("Allow", "Forbid", "Replace")
    yield from checks.required_one_of(spec.get("concurrencyPolicy", ""), policies, "spec.concurrencyPolicy")
    yield from validate_job_spec(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", template_of_cron_job=True)
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from checks.not_negative(spec.get(field), f"spec.{field}")


def _validate_zone(zone: str) -> Iterator[FieldError]:
    if not zone:
        yield FieldError.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        yield FieldError.invalid(
            "spec.timeZone", zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield FieldError.invalid("spec.timeZone", zone, f"unknown time zone {zone}")


def cells(cron_job: Object, now: datetime) -> list[Any]:
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    job_spec = spec["jobTemplate"].get("spec") or {}
    suspend = spec.get("suspend")
    last = status.get("lastScheduleTime")
    return [
        name_of(cron_job), spec.get("schedule", ""), spec.get("timeZone") or printing.NONE,
        printing.UNSET if suspend is None else str(suspend), len(status.get("active") or ()),
        since(last, now) if last else printing.NONE, printing.age(cron_job, now),
        *printing.container_cells(job_spec.get("template") or {}), printing.selector_text(job_spec.get("selector")),
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=CRON_JOBS,
    default=default,
    validate_name=validate_name,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate,
    bumps_generation=True,
    has_status=True,
    columns=(
        NAME, Column("Schedule"), Column("Timezone"), Column("Suspend", "boolean"), Column("Active", "integer"),
        Column("Last Schedule"), AGE, *replicas.WIDE_COLUMNS,
    ),
    cells=cells,
)  # fmt: skip
