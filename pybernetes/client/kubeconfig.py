"""kubeconfig files: reading, merging, writing, and connecting as they say.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. Merging: "Organizing Cluster Access Using kubeconfig
Files". A credential plugin (`exec`) is run once when connecting and its token kept until it expires.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pybernetes.client.rest import Client
from pybernetes.machinery.clock import Clock, SystemClock, parse_time
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    import ssl

    from pybernetes.client.http import HttpTransport

# Paths in a kubeconfig are relative to its file.
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key", "tokenFile")
_FILES = (("clusters", "cluster", _CLUSTER_FILES), ("users", "user", _USER_FILES), ("contexts", "context", ()))
_TEXTS = (
    *_CLUSTER_FILES, *_USER_FILES, "server", "tls-server-name", "certificate-authority-data", "client-certificate-data",
    "client-key-data", "token", "cluster", "user", "namespace",
)  # fmt: skip
_TOKEN_REFRESH_S = 60.0
EXEC_TIMEOUT_S = 60.0


class ConfigError(Exception):
    """A kubeconfig that cannot be read, or that does not say what was asked of it: one sentence."""


def load(path: str | os.PathLike[str]) -> Object:
    """One file, its relative paths made absolute. Raises `ConfigError`."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"stat {path}: no such file or directory") from error
    except OSError as error:
        raise ConfigError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    config = _parse(content, path)
    for entries, key, names in _FILES:
        for entry in _entries(config, entries, path):
            body = entry.get(key) or {}
            _check_texts(body, f'error loading config file "{path}": {key} "{entry["name"]}"')
            for name in names:
                if body.get(name):
                    body[name] = str(path.parent.absolute() / body[name])
    return config


def _check_texts(body: Any, where: str) -> None:
    if not isinstance(body, dict):
        raise ConfigError(f"{where} is not a mapping")
    for name in _TEXTS:
        if not isinstance(body.get(name) or "", str):
            raise ConfigError(f'{where}: "{name}" is not a text')


def _parse(content: bytes, path: Path) -> Object:
    try:
        if content.lstrip()[:1] == b"{":
            config = orjson.loads(content)
        else:
            from ryaml import _ryaml

            config = _ryaml.loads(content.decode()) if content.strip() else {}
    except Exception as error:  # each parser has errors of its own
        raise ConfigError(f'error loading config file "{path}": {error}') from error
    if not isinstance(config, dict):
        raise ConfigError(f'error loading config file "{path}": it is not a mapping')
    return config


def _entries(config: Object, key: str, path: Path) -> Sequence[Object]:
    entries = config.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise ConfigError(f'error loading config file "{path}": "{key}" is not a list of named entries')
    return entries


def default_paths() -> list[Path]:
    """Where kubectl looks: $KUBECONFIG (a list), else ~/.kube/config."""
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path.home() / ".kube" / "config"]


def load_merged(paths: Sequence[Path]) -> Object:
    """Several files as one: the first to name an entry or to set a value wins; files that are not there are skipped."""
    merged: Object = {"kind": "Config", "apiVersion": "v1", "clusters": [], "users": [], "contexts": []}
    for path in paths:
        if not path.exists():
            continue
        config = load(path)
        for key in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged[key]}
            merged[key] += [entry for entry in _entries(config, key, path) if entry["name"] not in known]
        for key, value in config.items():
            if key not in ("clusters", "users", "contexts") and value and not merged.get(key):
                merged[key] = value
    return merged


def build(
    *,
    server: str,
    certificate_authority: bytes = b"",
    client_certificate: bytes = b"",
    client_key: bytes = b"",
    token: str = "",
    cluster: str = "pybernetes",
    user: str = "kubernetes-admin",
    namespace: str = "",
) -> Object:
    """A kubeconfig with one context, `USER@CLUSTER`, its credentials (PEM) embedded."""

    def data(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    cluster_body: Object = {"server": server}
    if certificate_authority:
        cluster_body["certificate-authority-data"] = data(certificate_authority)
    user_body: Object = {}
    if client_certificate:
        user_body["client-certificate-data"] = data(client_certificate)
        user_body["client-key-data"] = data(client_key)
    if token:
        user_body["token"] = token
    context = {"cluster": cluster, "user": user, **({"namespace": namespace} if namespace else {})}
    name = f"{user}@{cluster}"
    return {
        "kind": "Config",
        "apiVersion": "v1",
        "clusters": [{"name": cluster, "cluster": cluster_body}],
        "users": [{"name": user, "user": user_body}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def write(path: str | os.PathLike[str], config: Object) -> None:
    """Replace the file at once, readable by its owner only."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(to_yaml(config).encode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# Text that every YAML reader, 1.1 or 1.2, takes for itself when written without quotes.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+=-]{6,}|https?://[A-Za-z0-9.:/_-]+")


def to_yaml(value: Any, indent: str = "") -> str:
    """Block YAML of a kubeconfig; text that might be read as something else is quoted."""
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            nested = isinstance(item, dict | list) and item
            deeper = indent + "  " if isinstance(item, dict) else indent
            lines.append(f"{indent}{key}:" + ("\n" + to_yaml(item, deeper) if nested else " " + to_yaml(item)))
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    if isinstance(value, list) and value:
        items = (to_yaml(item, indent + "  ").removeprefix(indent + "  ") for item in value)
        return "".join(f"{indent}- {item}" if item.endswith("\n") else f"{indent}- {item}\n" for item in items)
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return orjson.dumps(value).decode()


class Access:
    """What one context says: the cluster, the user, the namespace."""

    def __init__(self, config: Object, context: str = "", *, cluster: str = "", user: str = "") -> None:
        """`context` "" is the current one; `cluster` and `user` replace the context's. Raises `ConfigError`."""
        self.context_name: str = context or config.get("current-context") or ""
        chosen: Object = {}
        if self.context_name:
            chosen = _named(config, "contexts", "context", self.context_name)
        elif len(config.get("contexts") or ()) == 1 and not config.get("current-context"):
            chosen = config["contexts"][0].get("context") or {}
        self.namespace: str = chosen.get("namespace") or "default"
        self.cluster: Object = _named(config, "clusters", "cluster", cluster or chosen.get("cluster", ""))
        self.user: Object = _named(config, "users", "user", user or chosen.get("user", ""))

    @property
    def server(self) -> str:
        server: str = self.cluster.get("server") or ""
        if not server:
            # What client-go falls back on; the refusal that follows tells the user that nothing is configured.
            return "http://localhost:8080"
        return server if "://" in server else f"http://{server}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """As cluster and user say; None for plain HTTP. Raises `ConfigError`."""
        if not self.server.startswith("https://"):
            return None
        import ssl

        ca = _data(self.cluster, "certificate-authority")
        try:
            context = ssl.create_default_context(cadata=ca.decode() if ca else None)
            if self.cluster.get("insecure-skip-tls-verify"):
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            # Go does not ask for key usages in a CA certificate, and neither may we.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ConfigError(f"unable to use the certificates of the kubeconfig: {error}") from error
        self.present_certificate(context)
        return context

    def present_certificate(self, context: ssl.SSLContext) -> None:
        """Let connections show the user's client certificate, if there is one. Raises `ConfigError`."""
        import ssl

        from pybernetes.machinery.http.tls import load_certificate

        certificate, key = _data(self.user, "client-certificate"), _data(self.user, "client-key")
        try:
            if certificate:
                load_certificate(context, certificate, key)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ConfigError(f"unable to use the certificates of the kubeconfig: {error}") from error

    def token(self, clock: Clock) -> str | Callable[[], str] | None:
        """The bearer token, or a function that gives it anew. Raises `ConfigError`."""
        if self.user.get("token"):
            return str(self.user["token"])
        if self.user.get("tokenFile"):
            return _TokenFile(Path(self.user["tokenFile"]), clock)
        if self.user.get("exec"):
            return _ExecPlugin(self.user["exec"], clock)
        if self.user.get("username"):
            raise ConfigError("user name and password are not supported: the API server takes no basic authentication")
        return None

    def transport(self, clock: Clock) -> HttpTransport:
        """Raises `ConfigError`."""
        from pybernetes.client.http import HttpTransport

        tls, token = self.ssl_context(), self.token(clock)
        name = self.cluster.get("tls-server-name") or ""
        try:
            return HttpTransport(self.server, ssl_context=tls, server_hostname=name, token=token, clock=clock)
        except ValueError as error:
            raise ConfigError(f'host must be a URL or a host:port pair: "{self.server}": {error}') from error


def connect(
    path: str | os.PathLike[str],
    *,
    context: str = "",
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    user_agent: str = "pybernetes",
) -> Client:
    """A client as the file's context says. Nothing is sent yet. Raises `ConfigError`."""
    clock = clock or SystemClock()
    access = Access(load(path), context)
    return Client(access.transport(clock), user_agent=user_agent, clock=clock, entropy=entropy)


def _named(config: Object, entries: str, key: str, name: str) -> Object:
    if not name:
        return {}
    for entry in config.get(entries) or ():
        if entry.get("name") == name:
            return entry.get(key) or {}
    raise ConfigError(
        f'error: context "{name}" does not exist' if key == "context" else f'error: {key} "{name}" does not exist'
    )


def _data(entry: Object, name: str) -> bytes:
    """The PEM under `NAME-data` (which wins), or in the file `NAME`."""
    try:
        if entry.get(f"{name}-data"):
            return base64.b64decode(entry[f"{name}-data"], validate=True)
        if entry.get(name):
            return Path(entry[name]).read_bytes()
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"{name}-data is not base64: {error}") from error
    except OSError as error:
        raise ConfigError(f"unable to read {name} {entry[name]}: {(error.strerror or str(error)).lower()}") from error
    return b""


class _TokenFile:
    """A token that is rotated on disk (a service account's): read again every minute."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._token = ""
        self._read_at_s = float("-inf")

    def __call__(self) -> str:
        now_s = self._clock.monotonic()
        if now_s - self._read_at_s > _TOKEN_REFRESH_S:
            try:
                self._token = self._path.read_text().strip()
            except OSError as error:
                if not self._token:
                    raise ConfigError(f"unable to read tokenFile {self._path}: {error.strerror}") from error
            self._read_at_s = now_s
        return self._token


class _ExecPlugin:
    """A client-go credential plugin (client.authentication.k8s.io) that gives tokens."""

    def __init__(self, spec: Object, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._token = ""
        self._expires_at: Any = None

    def __call__(self) -> str:
        if not self._token or (self._expires_at is not None and self._clock.now() >= self._expires_at):
            self._run()
        return self._token

    def _run(self) -> None:
        import subprocess

        command = self._spec.get("command") or ""
        api_version = self._spec.get("apiVersion") or "client.authentication.k8s.io/v1"
        info = {"kind": "ExecCredential", "apiVersion": api_version, "spec": {"interactive": False}}
        environment = {**os.environ, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}
        environment.update({entry["name"]: entry["value"] for entry in self._spec.get("env") or ()})
        try:
            done = subprocess.run(
                [command, *(self._spec.get("args") or ())],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=EXEC_TIMEOUT_S, check=True,
            )  # fmt: skip
            status = orjson.loads(done.stdout)["status"]
            self._token = status["token"]
            expiry = status.get("expirationTimestamp")
            self._expires_at = parse_time(expiry) if expiry else None
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigError(f'getting credentials: exec: executable "{command}" failed: {error}') from error
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f'getting credentials: the answer of "{command}" holds no token') from error
