"""The `format`s of structural schemas: what a text must look like.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation. Formats
that are not listed there are no constraint.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import urlsplit

from pybernetes.machinery import go_duration
from pybernetes.machinery.validation import dns_1123_label_errors, dns_1123_subdomain_errors

_DATE_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_UUID: Final = r"[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_HOSTNAME: Final = re.compile(
    r"(?=.{1,255}\Z)[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?"
)
_RGB: Final = r"\s*(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])\s*"


def _pattern(pattern: str, flags: int = re.ASCII | re.IGNORECASE) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return fits


def _date_time(text: str) -> bool:
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return False
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return False
    return True


def _uri(text: str) -> bool:
    """A URI with a scheme, or an absolute path (Go: `url.ParseRequestURI`)."""
    if any(character <= " " or character == "\x7f" for character in text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(at and local and domain) and not re.search(r"[\s<>(),;:\\\[\]]", text) and ".." not in text


def _date(text: str) -> bool:
    return len(text) == 10 and _parses(date.fromisoformat)(text)


def _luhn(text: str) -> bool:
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return 12 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _isbn(lengths: tuple[int, ...]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        digits = text.replace("-", "").replace(" ", "").upper()
        if len(digits) not in lengths or not re.fullmatch(r"\d+X?", digits, re.ASCII):
            return False
        values = [10 if digit == "X" else int(digit) for digit in digits]
        if len(digits) == 10:
            return sum((10 - place) * value for place, value in enumerate(values)) % 11 == 0
        return sum(value * (3 if place % 2 else 1) for place, value in enumerate(values)) % 10 == 0

    return fits


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "bsonobjectid": _pattern(r"[0-9a-f]{24}"),
    "uri": _uri,
    "email": _email,
    "hostname": lambda text: _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(lambda value: ipaddress.ip_network(value, strict=False))(text),
    "mac": _pattern(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}|([0-9a-f]{2}[:-]){7}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}"),
    "uuid": _pattern(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"),
    "uuid3": _pattern(_UUID % ("3", "[0-9a-f]")),
    "uuid4": _pattern(_UUID % ("4", "[89ab]")),
    "uuid5": _pattern(_UUID % ("5", "[89ab]")),
    "isbn": _isbn((10, 13)),
    "isbn10": _isbn((10,)),
    "isbn13": _isbn((13,)),
    "creditcard": _luhn,
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _pattern(r"#?([0-9a-f]{3}|[0-9a-f]{6})"),
    "rgbcolor": _pattern(rf"rgb\({_RGB},{_RGB},{_RGB}\)"),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "password": lambda text: True,
    "date": _date,
    "duration": _parses(go_duration.parse_lenient),
    "date-time": _date_time,
    "datetime": _date_time,
    "k8s-short-name": lambda text: not dns_1123_label_errors(text),
    "k8s-long-name": lambda text: not dns_1123_subdomain_errors(text),
}  # fmt: skip
