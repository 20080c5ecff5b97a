"""Checks of names, keys, values and addresses, each giving upstream's sentences (an empty list: nothing wrong).

Contract: concepts, "Object Names and IDs", "Labels and Selectors"; RFC 1035, RFC 1123. What a check refuses is put into a
`FieldError` by the caller, who knows the field.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

SUBDOMAIN_MAX: Final = 253
LABEL_MAX: Final = 63
PORT_NAME_MAX: Final = 15

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_DNS_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_KEY_NAME})?"
_WILDCARD: Final = rf"\*\.{_SUBDOMAIN}"
_C_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_HTTP_HEADER: Final = "[-A-Za-z0-9]+"
_PERCENT: Final = "[0-9]+%"
_ENV_NAME: Final = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_HTTP_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_KEY_SENTENCE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_SUBDOMAIN_SENTENCE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)


def explain_pattern(sentence: str, pattern: str, *examples: str) -> str:
    """`sentence (e.g. 'a',  or 'b', regex used for validation is '…')`."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{sentence} (e.g. {shown}regex used for validation is '{pattern}')"


def too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def too_long_bytes(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def out_of_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _length(text: str) -> int:
    """Go's len: bytes."""
    return len(text) if text.isascii() else len(text.encode())


@lru_cache(maxsize=4096)
def _dns_1123_label(text: str) -> tuple[str, ...]:
    found = []
    if _length(text) > LABEL_MAX:
        found.append(too_long(LABEL_MAX))
    if not _fits(_LABEL, text):
        if _fits(_SUBDOMAIN, text):
            found.append("must not contain dots")
        else:
            sentence = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            found.append(explain_pattern(sentence, _LABEL, "my-name", "123-abc"))
    return tuple(found)


@lru_cache(maxsize=4096)
def _dns_1123_subdomain(text: str) -> tuple[str, ...]:
    found = []
    if _length(text) > SUBDOMAIN_MAX:
        found.append(too_long(SUBDOMAIN_MAX))
    if not _fits(_SUBDOMAIN, text):
        found.append(explain_pattern(_SUBDOMAIN_SENTENCE, _SUBDOMAIN, "example.com"))
    return tuple(found)


def dns_1123_label_errors(text: str) -> list[str]:
    """Names that become one DNS label: namespaces, containers, volumes."""
    return list(_dns_1123_label(text))


def dns_1123_subdomain_errors(text: str) -> list[str]:
    """Names of most objects."""
    return list(_dns_1123_subdomain(text))


def dns_1035_label_errors(text: str) -> list[str]:
    """Names that may not start with a digit: Services."""
    found = []
    if _length(text) > LABEL_MAX:
        found.append(too_long(LABEL_MAX))
    if not _fits(_DNS_1035, text):
        sentence = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
            "and end with an alphanumeric character"
        )
        found.append(explain_pattern(sentence, _DNS_1035, "my-name", "abc-123"))
    return found


def wildcard_dns_1123_subdomain_errors(text: str) -> list[str]:
    """`*.example.com`: hosts of an Ingress."""
    found = []
    if _length(text) > SUBDOMAIN_MAX:
        found.append(too_long(SUBDOMAIN_MAX))
    if not _fits(_WILDCARD, text):
        sentence = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
            "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        found.append(explain_pattern(sentence, _WILDCARD, "*.example.com"))
    return found


def path_segment_errors(text: str) -> list[str]:
    """Names that need only be safe inside a URL: RBAC roles and bindings."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in text]


@lru_cache(maxsize=8192)
def _label_key(text: str) -> tuple[str, ...]:
    parts = text.split("/")
    if len(parts) > 2:
        sentence = explain_pattern(f"a valid label key {_KEY_SENTENCE}", _KEY_NAME, "MyName", "my.name", "123-abc")
        return (f"{sentence} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    found = []
    name = parts[-1]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {sentence}" for sentence in _dns_1123_subdomain(parts[0])]
    if not name:
        found.append("name part must be non-empty")
    elif _length(name) > LABEL_MAX:
        found.append(f"name part {too_long_bytes(LABEL_MAX)}")
    if not _fits(_KEY_NAME, name):
        found.append("name part " + explain_pattern(_KEY_SENTENCE, _KEY_NAME, "MyName", "my.name", "123-abc"))
    return tuple(found)


def label_key_errors(text: str) -> list[str]:
    """Keys of labels, annotations (lower-cased before), taints, finalizers and extended resources: a qualified name."""
    return list(_label_key(text))


qualified_name_errors = label_key_errors


@lru_cache(maxsize=8192)
def _label_value(text: str) -> tuple[str, ...]:
    found = []
    if _length(text) > LABEL_MAX:
        found.append(too_long_bytes(LABEL_MAX))
    if not _fits(_LABEL_VALUE, text):
        sentence = f"a valid label must be an empty string or {_KEY_SENTENCE.removeprefix('must ')}"
        found.append(explain_pattern(sentence, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return tuple(found)


def label_value_errors(text: str) -> list[str]:
    return list(_label_value(text))


def c_identifier_errors(text: str) -> list[str]:
    if _fits(_C_IDENTIFIER, text):
        return []
    sentence = (
        "a valid C identifier must start with alphabetic character or '_', "
        "followed by a string of alphanumeric characters or '_'"
    )
    return [explain_pattern(sentence, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def env_name_errors(text: str) -> list[str]:
    """Names of environment variables: printable ASCII without `=` (KEP-4369)."""
    if not text:
        return ["environment variable name must be non-empty"]
    if all(" " <= character <= "~" and character != "=" for character in text):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def portable_env_name_errors(text: str) -> list[str]:
    """The rule before KEP-4369, which still decides which keys of a ConfigMap `envFrom` takes."""
    found = []
    if not _fits(_ENV_NAME, text):
        sentence = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
            "and must not start with a digit"
        )
        found.append(explain_pattern(sentence, _ENV_NAME, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return found + _parent_directory_errors(text)


def config_key_errors(text: str) -> list[str]:
    """Keys of ConfigMaps and Secrets, which become file names."""
    found = []
    if _length(text) > SUBDOMAIN_MAX:
        found.append(too_long(SUBDOMAIN_MAX))
    if not _fits(_CONFIG_KEY, text):
        sentence = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(explain_pattern(sentence, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return found + _parent_directory_errors(text)


def _parent_directory_errors(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def http_header_errors(text: str) -> list[str]:
    if _fits(_HTTP_HEADER, text):
        return []
    sentence = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [explain_pattern(sentence, _HTTP_HEADER, "X-Header-Name")]


def percent_errors(text: str) -> list[str]:
    if _fits(_PERCENT, text):
        return []
    sentence = "a valid percent string must be a numeric string followed by an ending '%'"
    return [explain_pattern(sentence, _PERCENT, "1%", "93%")]


def port_errors(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else [out_of_range(1, 65535)]


def port_name_errors(text: str) -> list[str]:
    """IANA service names (RFC 6335): names of container and Service ports used as `targetPort`."""
    found = []
    if _length(text) > PORT_NAME_MAX:
        found.append(too_long(PORT_NAME_MAX))
    if not _fits("[-a-z0-9]+", text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def domain_prefixed_path_errors(text: str) -> list[str]:
    """`acme.io/foo`: finalizers of claims, condition types, signer names."""
    if not text:
        return ["must be specified"]
    host, slash, path = text.partition("/")
    if not slash or not host or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    found = list(_dns_1123_subdomain(host))
    if not _fits(_HTTP_PATH, path):
        found.append(explain_pattern("Invalid path", _HTTP_PATH))
    return found


def fully_qualified_name_errors(text: str) -> list[str]:
    """A DNS name of two labels or more: API groups of custom resources."""
    if not text:
        return ["must be specified"]
    if found := _dns_1123_subdomain(text):
        return list(found)
    return [] if "." in text else ["should be a domain with at least two segments separated by dots"]


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None if this is no address. Octets with leading zeros are refused, scoped addresses too."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def ip_errors(text: str) -> list[str]:
    return [] if parse_ip(text) else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def ipv4_errors(text: str) -> list[str]:
    return [] if isinstance(parse_ip(text), ipaddress.IPv4Address) else ["must be an IPv4 address"]


def ipv6_errors(text: str) -> list[str]:
    return [] if isinstance(parse_ip(text), ipaddress.IPv6Address) else ["must be an IPv6 address"]


def parse_cidr(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network of an address and a prefix length (bits right of it may be set); None if this is no such thing."""
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or not parse_ip(address):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def cidr_errors(text: str) -> list[str]:
    return [] if parse_cidr(text) else ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
