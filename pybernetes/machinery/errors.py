"""API errors: one class per `metav1.Status` reason, raised by the server and raised again by the client.

Source: API conventions, "Response Status Kind"; the codes and messages are upstream's, to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `details.causes`: a machine-readable reason, the message, and the JSON path of the field."""

    reason: str
    message: str
    field: str = ""

    def to_object(self) -> Object:
        cause: Object = {"reason": self.reason} if self.reason else {}
        cause["message"] = self.message
        if self.field:
            cause["field"] = self.field
        return cause


class StatusError(Exception):
    """An answer that is a `Status` of failure. `reason` and `code` are the class's unless given."""

    reason: ClassVar[str] = ""
    code: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        kind: str = "",
        name: str = "",
        uid: str = "",
        causes: Sequence[Cause] = (),
        retry_after_s: int = 0,
        status: Object | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        details: Object = {}
        for key, value in (("name", name), ("group", group), ("kind", kind), ("uid", uid)):
            if value:
                details[key] = value
        if causes:
            details["causes"] = [cause.to_object() for cause in causes]
        if retry_after_s:
            details["retryAfterSeconds"] = retry_after_s
        self.status: Object = status or {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": details} if details else {}),
            "code": self.code,
        }

    @property
    def details(self) -> Object:
        details: Object = self.status.get("details") or {}
        return details

    @property
    def retry_after_s(self) -> int:
        return int(self.details.get("retryAfterSeconds", 0))


class BadRequest(StatusError):
    reason, code = "BadRequest", 400


class DecodeError(BadRequest):
    """A body that is no object of its kind. `why` is Go's sentence alone, for callers that wrap it differently (patches)."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class Unauthorized(StatusError):
    reason, code = "Unauthorized", 401


class Forbidden(StatusError):
    reason, code = "Forbidden", 403


class NotFound(StatusError):
    reason, code = "NotFound", 404


class MethodNotAllowed(StatusError):
    reason, code = "MethodNotAllowed", 405


class NotAcceptable(StatusError):
    reason, code = "NotAcceptable", 406


class AlreadyExists(StatusError):
    reason, code = "AlreadyExists", 409


class Conflict(StatusError):
    reason, code = "Conflict", 409


class Gone(StatusError):
    reason, code = "Gone", 410


class Expired(StatusError):
    reason, code = "Expired", 410


class RequestEntityTooLarge(StatusError):
    reason, code = "RequestEntityTooLarge", 413


class UnsupportedMediaType(StatusError):
    reason, code = "UnsupportedMediaType", 415


class Invalid(StatusError):
    reason, code = "Invalid", 422


class TooManyRequests(StatusError):
    reason, code = "TooManyRequests", 429


class InternalError(StatusError):
    reason, code = "InternalError", 500


class NotImplementedYet(StatusError):
    """A part of the API that this server does not serve yet: said openly, never pretended."""

    reason, code = "NotImplemented", 501


class ServiceUnavailable(StatusError):
    reason, code = "ServiceUnavailable", 503


class ServerTimeout(StatusError):
    reason, code = "ServerTimeout", 500


class Timeout(StatusError):
    reason, code = "Timeout", 504


_BY_REASON: Mapping[str, type[StatusError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Gone,
        Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError, ServiceUnavailable,
        ServerTimeout, Timeout,
    )
}  # fmt: skip
_BY_CODE: Mapping[int, type[StatusError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: MethodNotAllowed, 406: NotAcceptable,
    409: Conflict, 410: Gone, 413: RequestEntityTooLarge, 415: UnsupportedMediaType, 422: Invalid, 429: TooManyRequests,
    500: InternalError, 501: NotImplementedYet, 503: ServiceUnavailable, 504: Timeout,
}  # fmt: skip


def from_status(status: Object, http_code: int) -> StatusError:
    """The error for a `Status` received; falls back on the HTTP code where the reason is new to us."""
    cls = _BY_REASON.get(status.get("reason", "")) or _BY_CODE.get(http_code, StatusError)
    return cls(status.get("message", f"HTTP {http_code}"), status=status)


def not_found(group: str, resource: str, name: str) -> NotFound:
    """`resource` is the plural, as upstream puts it into `details.kind`."""
    return NotFound(f'{_group_resource(group, resource)} "{name}" not found', group=group, kind=resource, name=name)


def already_exists(group: str, resource: str, name: str) -> AlreadyExists:
    return AlreadyExists(f'{_group_resource(group, resource)} "{name}" already exists', group=group, kind=resource, name=name)


def conflict(group: str, resource: str, name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {_group_resource(group, resource)} "{name}": {why}',
        group=group, kind=resource, name=name,
    )  # fmt: skip


def forbidden(group: str, resource: str, name: str, why: str) -> Forbidden:
    subject = f'{_group_resource(group, resource)} "{name}"' if name else _group_resource(group, resource)
    return Forbidden(f"{subject} is forbidden: {why}", group=group, kind=resource, name=name)


def invalid(group: str, kind: str, name: str, errors: Iterable[FieldError]) -> Invalid:
    """A failed validation. `kind` is the Kind (not the plural), again as upstream has it."""
    found = list(errors)
    shown = aggregate(map(str, found)) or "<nil>"  # a cause may come twice, the sentence does not
    named = f"{kind}.{group}" if group else kind
    return Invalid(
        f'{named} "{name}" is invalid: {shown}',
        group=group, kind=kind, name=name,
        causes=[Cause(error.type, error.body, error.field) for error in found],
    )  # fmt: skip


def aggregate(messages: Iterable[str]) -> str:
    """Several errors as one sentence, as Go joins them: one is alone, more are in brackets, repeats are left out."""
    texts = list(dict.fromkeys(messages))
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]" if texts else ""


def _group_resource(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


@dataclass(frozen=True, slots=True)
class FieldError:
    """One failed check of one field (upstream: `field.Error`); `str()` is the sentence that users see.

    `type` is the cause's reason, `body` the sentence without the field. One that `warns` is of a value which the update left as
    it was: users are told, and the update goes through.
    """

    type: str
    field: str
    body: str
    warns: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"

    @classmethod
    def required(cls, field: str, detail: str = "") -> FieldError:
        return cls("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> FieldError:
        return cls("FieldValueInvalid", field, f"Invalid value: {_shown(value)}" + (f": {detail}" if detail else ""))

    @classmethod
    def type_invalid(cls, field: str, value: object, detail: str) -> FieldError:
        return cls("FieldValueTypeInvalid", field, f"Invalid value: {_shown(value)}: {detail}")

    @classmethod
    def not_supported(cls, field: str, value: object, supported: Sequence[str]) -> FieldError:
        choices = ", ".join(f'"{choice}"' for choice in supported)
        body = f"Unsupported value: {_shown(value)}" + (f": supported values: {choices}" if choices else "")
        return cls("FieldValueNotSupported", field, body)

    @classmethod
    def duplicate(cls, field: str, value: object) -> FieldError:
        return cls("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")

    @classmethod
    def not_found(cls, field: str, value: object) -> FieldError:
        return cls("FieldValueNotFound", field, f"Not found: {_shown(value)}")

    @classmethod
    def forbidden(cls, field: str, detail: str = "") -> FieldError:
        return cls("FieldValueForbidden", field, "Forbidden" + (f": {detail}" if detail else ""))

    @classmethod
    def too_long(cls, field: str, limit: int) -> FieldError:
        return cls("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")

    @classmethod
    def too_many(cls, field: str, actual: int, limit: int) -> FieldError:
        return cls("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} item{'' if limit == 1 else 's'}")


def _shown(value: object) -> str:
    """A value as Go prints it in a field error: text quoted, the rest as compact JSON."""
    import json

    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
