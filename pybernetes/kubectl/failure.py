"""How kubectl fails: one sentence on standard error, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object


class Failure(Exception):
    """The verb cannot be done: `error: MESSAGE`. With `bare`, the message is printed as it stands."""

    def __init__(self, message: str, *, code: int = 1, bare: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.bare = bare


class UsageFailure(Failure):
    """The arguments are wrong; a hint to the help follows."""


class FlagFailure(Failure):
    """A flag is wrong; a hint to the help follows."""


class ExitCode(Exception):
    """End quietly with this code: everything has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def sentence(error: Exception, host: str, doing: str = "") -> str:
    """What is printed for an error of the API or of the connection to `host` (`HOST:PORT`).

    `doing` says what was attempted (`error when creating "x.yaml"`), in the place where upstream puts it.
    """
    prefix = f"{doing}: " if doing else ""
    if isinstance(error, StatusError):
        return _status_sentence(error, prefix)
    if isinstance(error, ConnectionFailed):
        return prefix + _connection_sentence(error, host)
    if isinstance(error, Failure):
        return error.message if error.bare else f"error: {prefix}{error.message}"
    return f"error: {prefix}{error}"


def _status_sentence(error: StatusError, prefix: str) -> str:
    status = error.status
    reason = status.get("reason", "")
    if reason == "Invalid":
        return _invalid_sentence(status)
    if reason == "Unauthorized":
        return f"error: You must be logged in to the server ({error.message})"
    named = f" ({reason})" if reason else ""
    return f"Error from server{named}: {prefix}{error.message}"


def _invalid_sentence(status: Object) -> str:
    details: Object = status.get("details") or {}
    text = "The request is invalid"
    if details.get("kind") or details.get("name"):
        text = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
    elif status.get("message") and not details.get("causes"):
        text += f": {status['message']}"
    causes = list(
        dict.fromkeys(f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in details.get("causes") or ())
    )
    if not causes:
        return text
    return _several(f"{text}: ", causes)


def _several(prefix: str, lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return prefix + lines[0]
    return prefix + "".join(f"\n* {line}" for line in lines)


def _connection_sentence(error: ConnectionFailed, host: str) -> str:
    text = str(error.args[-1]) if error.args else str(error)
    if isinstance(error.__cause__, ConnectionRefusedError) or "refused" in text.lower() or "Connect call failed" in text:
        return f"The connection to the server {host} was refused - did you specify the right host or port?"
    if isinstance(error, RequestTimeout) and "no answer" in text:
        return "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    return f"Unable to connect to the server: {text}"
