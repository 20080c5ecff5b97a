"""What a verb declares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybernetes.kubectl.flags import Flag, Kind, Parsed

if TYPE_CHECKING:
    from pybernetes.kubectl.session import Session

Run = Callable[["Session", Parsed], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or a verb's verb (`rollout status`). `run` returns the exit code."""

    name: str
    help: str
    usage: str = ""  # after the name
    flags: tuple[Flag, ...] = ()
    run: Run | None = None
    commands: tuple[Command, ...] = ()
    examples: str = ""


GLOBAL_FLAGS: tuple[Flag, ...] = (
    Flag("as", "User to impersonate"),
    Flag("as-group", "Group to impersonate, may be repeated", Kind.TEXTS),
    Flag("as-uid", "UID to impersonate"),
    Flag("cache-dir", "Accepted for compatibility: discovery is not cached on disk"),
    Flag("certificate-authority", "File with the certificates that the server's is checked against"),
    Flag("client-certificate", "File with the client certificate"),
    Flag("client-key", "File with the client certificate's key"),
    Flag("cluster", "Name of the kubeconfig cluster to use"),
    Flag("context", "Name of the kubeconfig context to use"),
    Flag("insecure-skip-tls-verify", "Do not check the server's certificate", Kind.BOOL),
    Flag("kubeconfig", "Path of the kubeconfig file"),
    Flag("match-server-version", "Require the server to have this program's version", Kind.BOOL, hidden=True),
    Flag("namespace", "Namespace to work in", short="n"),
    Flag("request-timeout", "How long to wait for one answer (1s, 2m, …); 0 waits as long as it takes", default="0"),
    Flag("server", "Address of the API server", short="s"),
    Flag("tls-server-name", "Name to expect in the server's certificate"),
    Flag("token", "Bearer token"),
    Flag("user", "Name of the kubeconfig user to use"),
    Flag("warnings-as-errors", "Fail if the server warned", Kind.BOOL),
    Flag("v", "Verbosity", Kind.NUMBER, short="v", hidden=True),
    Flag("help", "Show help", Kind.BOOL, short="h"),
)

# Groups of flags that several verbs share.
FILENAME_FLAGS: tuple[Flag, ...] = (
    Flag("filename", "File, directory or URL with objects; - is standard input", Kind.LIST, short="f"),
    Flag("kustomize", "Not supported", short="k", hidden=True),
    Flag("recursive", "Take directories with everything below", Kind.BOOL, short="R"),
)
SELECTOR_FLAG = Flag("selector", "Label selector", short="l")
FIELD_SELECTOR_FLAG = Flag("field-selector", "Field selector")
ALL_NAMESPACES_FLAG = Flag("all-namespaces", "Across all namespaces", Kind.BOOL, short="A")
OUTPUT_FLAGS: tuple[Flag, ...] = (
    Flag("output", "json, yaml, name, wide, jsonpath=…, custom-columns=…", short="o"),
    Flag("template", "Template of -o jsonpath"),
    Flag("show-managed-fields", "Keep managedFields in JSON and YAML", Kind.BOOL),
    Flag("allow-missing-template-keys", "Ignore missing fields in templates", Kind.BOOL, default=True),
)
DRY_RUN_FLAG = Flag("dry-run", "none, server (nothing is stored) or client (nothing is sent)", default="none", bare="unchanged")
FIELD_MANAGER_FLAG = Flag("field-manager", "Name under which the fields are owned")
