"""The parameters of a connection: as the options object that admission sees, and as the kubelet wants to be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlencode

from pybernetes.apiserver.requests import integer
from pybernetes.machinery.errors import BadRequest, FieldError, invalid
from pybernetes.machinery.meta import GroupVersionKind, Object

_FLAGS = frozenset(("stdin", "stdout", "stderr", "tty"))
# The kubelet's own names of the streams; it takes "1" for true and nothing else.
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


def connect_options(gvk: GroupVersionKind, query: str) -> Object:
    """The parameters of a connection as the object that admission sees (`PodExecOptions`, say)."""
    options: Object = {"kind": gvk.kind, "apiVersion": gvk.api_version}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _FLAGS:
            options[name] = value.lower() not in ("false", "0")
        elif name == "command":
            options.setdefault(name, []).append(value)
        elif name == "ports":
            options.setdefault(name, []).extend(int(port) for port in value.split(",") if port.isdecimal())
        else:
            options.setdefault(name, value)
    return options


def kubelet_query(subresource: str, options: Object, query: str) -> str:
    """What a kubelet is asked with, of the `connect_options` that `query` gave."""
    if subresource == "log":
        return "&".join(pair for pair in query.split("&") if pair and not pair.startswith("container="))
    if subresource == "portforward":
        ports = options.get("ports") or ()
        return urlencode({"port": ",".join(map(str, ports))}) if ports else ""
    pairs = [(theirs, "1") for ours, theirs in _STREAMS.items() if options.get(ours)]
    return urlencode(pairs + [("command", word) for word in options.get("command") or ()])


def check_log_options(name: str, query: Mapping[str, str]) -> None:
    """Raises `BadRequest`, `Invalid`."""
    errors = list(_log_errors(query))
    if errors:
        raise invalid("", "PodLogOptions", name, errors)


def _log_errors(query: Mapping[str, str]) -> Iterator[FieldError]:
    tail, limit, since = (integer(query, key) for key in ("tailLines", "limitBytes", "sinceSeconds"))
    if tail is not None and tail < 0:
        yield FieldError.invalid("tailLines", tail, "must be greater than or equal to 0")
    if limit is not None and limit < 1:
        yield FieldError.invalid("limitBytes", limit, "must be greater than 0")
    if since is not None and query.get("sinceTime"):
        yield FieldError.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    elif since is not None and since < 1:
        yield FieldError.invalid("sinceSeconds", since, "must be greater than 0")


def container_name(pod: Object, wanted: str) -> str:
    """The container that is meant. Raises `BadRequest` where that is not clear."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular = [container["name"] for container in spec.get("containers") or ()]
    initial = [container["name"] for container in spec.get("initContainers") or ()]
    ephemeral = [container["name"] for container in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted not in (*regular, *initial, *ephemeral):
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if chosen in regular:
        return str(chosen)
    if len(regular) == 1:
        return str(regular[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]"
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    raise BadRequest(text)
