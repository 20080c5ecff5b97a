"""Functions that Kubernetes adds to CEL: quantities, URLs, IP addresses, CIDRs, versions, named formats.

Source: https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pybernetes.machinery import quantity as quantities
from pybernetes.machinery import validation
from pybernetes.machinery.cel.values import NONE, CelError, Optional, no_overload, quoted
from pybernetes.machinery.quantity import Quantity
from pybernetes.machinery.turns import each

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Url:
    cel_type: ClassVar[str] = "kubernetes.URL"
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Ip:
    cel_type: ClassVar[str] = "net.IP"
    address: ipaddress.IPv4Address | ipaddress.IPv6Address

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Cidr:
    cel_type: ClassVar[str] = "net.CIDR"
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    def __str__(self) -> str:
        return f"{self.address}/{self.network.prefixlen}"


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A semantic version (semver.org, 2.0)."""

    cel_type: ClassVar[str] = "kubernetes.Semver"
    numbers: tuple[int, int, int]
    before: tuple[str, ...] = ()  # the pre-release
    text: str = ""

    def __str__(self) -> str:
        return self.text

    def _order(self) -> Any:
        parts = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in self.before]
        return (self.numbers, not self.before, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order() == other._order()

    def __lt__(self, other: Version) -> bool:
        return bool(self._order() < other._order())

    def __hash__(self) -> int:
        return hash((self.numbers, self.before))


@dataclass(frozen=True, slots=True)
class NamedFormat:
    cel_type: ClassVar[str] = "kubernetes.NamedFormat"
    name: str

    @property
    def regex_size(self) -> int:
        """How long a pattern of this would be: what applying it costs goes by that."""
        return _REGEX_SIZES.get(self.name, 60)


_REGEX_SIZES: Final = {
    "dns1123Label": 30, "dns1035Label": 30, "dns1123LabelPrefix": 30, "dns1035LabelPrefix": 30, "labelValue": 40, "uri": 989,
    "uuid": 69, "byte": 65, "date": 96, "datetime": 96,
}  # fmt: skip


def _text(value: Any) -> str:
    if type(value) is not str:
        raise no_overload()
    return value


def _is(make: Callable[..., Any]) -> Callable[..., bool]:
    def check(*arguments: Any) -> bool:
        _text(arguments[0])
        try:
            make(*arguments)
        except CelError:
            return False
        return True

    return check


def _of(kind: type, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        if not isinstance(value, kind):
            raise no_overload()
        return read(value)

    return apply


# Quantities


def quantity(text: Any) -> Quantity:
    try:
        return quantities.parse(_text(text))
    except ValueError as error:
        raise CelError(str(error)) from None


def _quantity(value: Any) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return quantities.parse(int(value))
    raise no_overload()


def _ordered(value: Any, other: Any) -> tuple[Any, Any]:
    """Both as what can be compared."""
    if isinstance(value, Quantity) and isinstance(other, Quantity):
        return value, other
    if isinstance(value, Version) and isinstance(other, Version):
        return value, other
    raise no_overload()


def _compare(value: Any, other: Any) -> int:
    a, b = _ordered(value, other)
    return int(a > b) - int(a < b)


def _as_integer(value: Quantity) -> int:
    whole, rest = divmod(value.nanos, 10**9)
    if rest or not -(2**63) <= whole < 2**63:
        raise CelError("cannot convert value to integer")
    return whole


def _is_integer(value: Quantity) -> bool:
    return value.nanos % 10**9 == 0 and -(2**63) <= value.nanos // 10**9 < 2**63


# URLs


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_WRONG_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}")


def url(text: Any) -> Url:
    """An absolute URI or absolute path."""
    given = _text(text)
    why = ""
    if not given:
        why = 'parse "": empty url'
    elif _CONTROL.search(given):
        why = f"parse {quoted(given)}: net/url: invalid control character in URL"
    elif (escape := _WRONG_ESCAPE.search(given.partition("?")[0])) is not None:
        why = f'parse "{given}": invalid URL escape "{escape[0]}"'
    else:
        try:
            parts = urlsplit(given)
            _ = parts.port
            if not parts.scheme and not given.startswith("/"):
                why = f'parse "{given}": invalid URI for request'
        except ValueError:
            why = f'parse "{given}": invalid URI for request'
    if why:
        raise CelError(f"URL parse error during conversion from string: {why}")
    return Url(given)


def _host(value: Url) -> str:
    return urlsplit(value.text).netloc.rpartition("@")[2]


def _hostname(value: Url) -> str:
    host = _host(value)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _port(value: Url) -> str:
    host = _host(value)
    return host.rpartition("]")[2].partition(":")[2]


def _query(value: Url) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in each(urlsplit(value.text).query.split("&")):
        for name, text in parse_qsl(pair, keep_blank_values=True):
            found.setdefault(name, []).append(text)
    return found


# Addresses


def ip(text: Any) -> Ip:
    if isinstance(text, Cidr):
        return Ip(text.address)
    given = _text(text)
    try:
        if "%" in given:
            raise ValueError(f'ParseAddr("{given}"): zone')
        address = ipaddress.ip_address(given)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            raise CelError("IPv4-mapped IPv6 address is not allowed")
    except ValueError:
        raise CelError(
            f'IP Address "{given}" parse error during conversion from string: ParseAddr("{given}"): unable to parse IP'
        ) from None
    return Ip(address)


def cidr(text: Any) -> Cidr:
    given = _text(text)
    address, slash, length = given.partition("/")
    try:
        if not slash or not length.isdecimal() or (len(length) > 1 and length.startswith("0")) or "%" in address:
            raise ValueError
        return Cidr(ipaddress.ip_address(address), ipaddress.ip_network(given, strict=False))
    except ValueError:
        raise CelError(
            f'network address parse error during conversion from string: netip.ParsePrefix("{given}"): no valid prefix'
        ) from None


def _contains_ip(value: Any, other: Any) -> bool:
    if not isinstance(value, Cidr):
        raise no_overload()
    address = (other if isinstance(other, Ip) else ip(other)).address
    return address.version == value.network.version and address in value.network


def _contains_cidr(value: Any, other: Any) -> bool:
    if not isinstance(value, Cidr):
        raise no_overload()
    inner = other if isinstance(other, Cidr) else cidr(other)
    if inner.network.version != value.network.version:
        return False
    return bool(inner.network.subnet_of(value.network))  # type: ignore[arg-type]


def _is_global_unicast(value: Ip) -> bool:
    address = value.address
    limited = str(address) == "255.255.255.255"
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local or limited)


def _link_local_multicast(value: Ip) -> bool:
    if value.address.version == 4:
        return str(value.address).startswith("224.0.0.")
    return value.address.packed[0] == 0xFF and value.address.packed[1] & 0x0F == 2


# Versions

_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-(?P<before>[0-9a-zA-Z.-]*))?(?:\+(?P<build>[0-9a-zA-Z.-]*))?", re.ASCII
)
_BEFORE: Final = re.compile(r"0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*", re.ASCII)  # one of its parts


def semver(text: Any, normalize: Any = False) -> Version:
    given = _text(text)
    if normalize is True:
        head, mark, rest = re.match(r"v?([\d.]*)([-+]?)(.*)", given, re.DOTALL).groups()  # type: ignore[union-attr]
        numbers = [part.lstrip("0") or "0" for part in head.split(".") if head]
        given = ".".join([*numbers, "0", "0"][: max(3, len(numbers))]) + mark + rest
    found = _SEMVER.fullmatch(given)
    before = _parts(found and found["before"])
    if found is None or not all(map(_BEFORE.fullmatch, each(before))) or not all(_parts(found["build"])):
        why = "No Major.Minor.Patch elements found" if given.count(".") < 2 else "Invalid character(s) found"
        raise CelError(why)
    return Version((int(found[1]), int(found[2]), int(found[3])), before, given)


def _parts(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(text.split("."))


# Formats


def _errors(check: Callable[[str], Any]) -> Callable[[str], list[str]]:
    return lambda text: list(check(text))


def _by_format(name: str, sentence: str) -> Callable[[str], list[str]]:
    def check(text: str) -> list[str]:
        from pybernetes.machinery.schema.formats import FORMATS

        return [] if FORMATS[name](text) else [sentence]

    return check


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    return lambda text: list(check(f"{text[:-1]}a" if text.endswith("-") else text))


def _url_errors(text: str) -> list[str]:
    try:
        url(text)
    except CelError as error:
        return [str(error)]
    return []


_FORMATS: Final[Mapping[str, Callable[[str], list[str]]]] = {
    "dns1123Label": _errors(validation.dns_1123_label_errors),
    "dns1123Subdomain": _errors(validation.dns_1123_subdomain_errors),
    "dns1035Label": _errors(validation.dns_1035_label_errors), "qualifiedName": _errors(validation.label_key_errors),
    "dns1123LabelPrefix": _prefix(validation.dns_1123_label_errors),
    "dns1123SubdomainPrefix": _prefix(validation.dns_1123_subdomain_errors),
    "dns1035LabelPrefix": _prefix(validation.dns_1035_label_errors), "labelValue": _errors(validation.label_value_errors),
    "uri": _url_errors, "uuid": _by_format("uuid", "does not match the UUID format"),
    "byte": _by_format("byte", "invalid base64"), "date": _by_format("date", "invalid date"),
    "datetime": _by_format("datetime", "invalid datetime"),
}  # fmt: skip


FORMAT_NAMES: Final = tuple(_FORMATS)


def _named(name: Any) -> Optional:
    return Optional(True, NamedFormat(name)) if _text(name) in _FORMATS else NONE


def _validate(value: Any, text: Any) -> Optional:
    if not isinstance(value, NamedFormat):
        raise no_overload()
    errors = _FORMATS[value.name](_text(text))
    return Optional(True, errors) if errors else NONE


def _format_functions() -> Mapping[str, Function]:
    def make(name: str) -> Callable[[], NamedFormat]:
        return lambda: NamedFormat(name)

    return {f"format.{name}": make(name) for name in _FORMATS}


FUNCTIONS: Final[Mapping[str, Function]] = {
    "quantity": quantity, "isQuantity": _is(quantity), "url": url, "isURL": _is(url), "ip": ip, "isIP": _is(ip), "cidr": cidr,
    "isCIDR": _is(cidr), "ip.isCanonical": lambda text: str(ip(text)) == text, "semver": semver, "isSemver": _is(semver),
    "format.named": _named, **_format_functions(),
}  # fmt: skip
METHODS: Final[Mapping[str, Function]] = {
    "sign": _of(Quantity, lambda value: (value.nanos > 0) - (value.nanos < 0)), "isInteger": _of(Quantity, _is_integer),
    "asInteger": _of(Quantity, _as_integer), "asApproximateFloat": _of(Quantity, lambda value: value.nanos / 10**9),
    "add": lambda value, other: _quantity(value) + _quantity(other),
    "sub": lambda value, other: _quantity(value) - _quantity(other),
    "isLessThan": lambda value, other: _compare(value, other) < 0,
    "isGreaterThan": lambda value, other: _compare(value, other) > 0, "compareTo": _compare,
    "getScheme": _of(Url, lambda value: urlsplit(value.text).scheme), "getHost": _of(Url, _host),
    "getHostname": _of(Url, _hostname), "getPort": _of(Url, _port),
    "getEscapedPath": _of(Url, lambda value: quote(unquote(urlsplit(value.text).path), safe="/:@!$&'()*+,;=~-._")),
    "getQuery": _of(Url, _query), "family": _of(Ip, lambda value: value.address.version),
    "isUnspecified": _of(Ip, lambda value: value.address.is_unspecified),
    "isLoopback": _of(Ip, lambda value: value.address.is_loopback), "isLinkLocalMulticast": _of(Ip, _link_local_multicast),
    "isLinkLocalUnicast": _of(Ip, lambda value: value.address.is_link_local),
    "isGlobalUnicast": _of(Ip, _is_global_unicast), "ip": _of(Cidr, ip), "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "masked": _of(Cidr, lambda value: Cidr(value.network.network_address, value.network)),
    "prefixLength": _of(Cidr, lambda value: value.network.prefixlen), "major": _of(Version, lambda value: value.numbers[0]),
    "minor": _of(Version, lambda value: value.numbers[1]), "patch": _of(Version, lambda value: value.numbers[2]),
    "validate": _validate,
}  # fmt: skip
