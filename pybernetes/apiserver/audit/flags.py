"""From the server's flags to its audit backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pybernetes.apiserver.audit.backends import BATCH, MODES, Backend, Backends, Losses
from pybernetes.apiserver.audit.log import FORMATS, AuditLog
from pybernetes.apiserver.audit.policy import API_VERSION, Policy, load
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import aggregate

if TYPE_CHECKING:
    from pybernetes.apiserver.options import Options

LOG: Final = "log"
WEBHOOK: Final = "webhook"


def policy(options: Options) -> Policy | None:
    """Raises OSError, ValueError."""
    return load(Path(options.audit_policy_file)) if options.audit_policy_file else None


def backends(options: Options, clock: Clock, entropy: Entropy) -> Backends | None:
    """None where nothing is to be recorded, or nowhere. Raises OSError, ValueError."""
    problems = list(_problems(options))
    if problems:
        raise ValueError(aggregate(problems))
    if not options.audit_policy_file:
        return None
    losses = Losses()
    members = []
    if options.audit_log_path:
        file = AuditLog(
            options.audit_log_path, clock, losses, max_size_mb=options.audit_log_maxsize,
            max_backups=options.audit_log_maxbackup, max_age_days=options.audit_log_maxage,
            compresses=options.audit_log_compress, format_=options.audit_log_format,
        )  # fmt: skip
        members.append((options.audit_log_mode, _wrapped(file, LOG, options, clock, losses)))
    if options.audit_webhook_config_file:
        webhook = _webhook(options, clock, entropy, losses)
        members.append((options.audit_webhook_mode, _wrapped(webhook, WEBHOOK, options, clock, losses)))
    return Backends(members, losses) if members else None


def _webhook(options: Options, clock: Clock, entropy: Entropy, losses: Losses) -> Backend:
    from pybernetes.apiserver.audit.webhook import WebhookBackend
    from pybernetes.apiserver.kubeconfig_webhook import Backoff, KubeconfigWebhook
    from pybernetes.client.kubeconfig import ConfigError

    backoff = Backoff(first_delay_s=options.audit_webhook_initial_backoff_s)
    try:
        remote = KubeconfigWebhook(options.audit_webhook_config_file, clock=clock, entropy=entropy, backoff=backoff)
    except ConfigError as error:
        raise ValueError(f"initializing audit webhook: {error}") from error
    return WebhookBackend(remote, losses)


def _wrapped(backend: Backend, name: str, options: Options, clock: Clock, losses: Losses) -> Backend:
    """Truncation is next to the backend, where it splits batches; upstream's is before the buffer, and sees single events."""
    if _flag(options, name, "truncate_enabled"):
        from pybernetes.apiserver.audit.truncate import Limits, Truncating

        limits = Limits(_flag(options, name, "truncate_max_batch_size"), _flag(options, name, "truncate_max_event_size"))
        backend = Truncating(backend, limits, losses)
    if _flag(options, name, "mode") != BATCH:
        return backend
    from pybernetes.apiserver.audit.buffered import Batching, Buffered

    batching = Batching(
        _flag(options, name, "batch_buffer_size"), _flag(options, name, "batch_max_size"),
        _flag(options, name, "batch_max_wait_s"),
        _flag(options, name, "batch_throttle_qps") if _flag(options, name, "batch_throttle_enable") else 0.0,
        _flag(options, name, "batch_throttle_burst"), sends_at_once=name == WEBHOOK,
    )  # fmt: skip
    return Buffered(backend, batching, clock, losses)


def _problems(options: Options) -> Iterator[str]:
    """In upstream's words."""
    if options.audit_log_path:
        yield from _common_problems(options, LOG)
        if options.audit_log_format not in FORMATS:
            allowed = ",".join(FORMATS)
            yield f'invalid audit log format {options.audit_log_format}, allowed formats are "{allowed}"'
        for name in ("maxage", "maxbackup", "maxsize"):
            value = _flag(options, LOG, name)
            if value < 0:
                yield f"--audit-log-{name} {value} can't be a negative number"
    if options.audit_webhook_config_file:
        yield from _common_problems(options, WEBHOOK)


def _common_problems(options: Options, name: str) -> Iterator[str]:
    mode = _flag(options, name, "mode")
    if mode not in MODES:
        yield f'invalid audit {name} mode {mode}, allowed modes are "{",".join(MODES)}"'
    elif mode == BATCH:
        yield from _batch_problems(options, name)
    batch, event = _flag(options, name, "truncate_max_batch_size"), _flag(options, name, "truncate_max_event_size")
    if event <= 0:
        yield f"invalid audit truncate {name} max event size {event}, must be a positive number"
    elif batch < event:
        yield f"invalid audit truncate {name} max batch size {batch}, must be greater than max event size ({event})"
    if _flag(options, name, "version") != API_VERSION:
        yield f'invalid group version, allowed versions are ["{API_VERSION}"]'


def _batch_problems(options: Options, name: str) -> Iterator[str]:
    """The first one, as upstream."""
    sizes = [("buffer size", "batch_buffer_size"), ("max batch size", "batch_max_size")]
    if _flag(options, name, "batch_throttle_enable"):
        sizes += [("throttle QPS", "batch_throttle_qps"), ("throttle burst", "batch_throttle_burst")]
    for shown, flag in sizes:
        value = _flag(options, name, flag)
        if value <= 0:
            yield f"invalid audit batch {name} {shown} {value:g}, must be a positive number"
            return


def _flag(options: Options, name: str, flag: str) -> Any:
    """Both backends have flags of the same names."""
    return getattr(options, f"audit_{name}_{flag}")
