import pytest

from pybernetes.machinery import validation

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with "
    "an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "sl/ash", "sp ace", "é", ".", "..", "pct%", "a..b", "a\n"])
def test_names_that_are_no_subdomain_are_refused_in_upstreams_words(name: str) -> None:
    assert validation.dns_1123_subdomain_errors(name) == [SUBDOMAIN]


def test_lengths_are_limited() -> None:
    assert validation.dns_1123_subdomain_errors("a" * 254) == ["must be no more than 253 characters"]
    assert validation.label_value_errors("a" * 64) == ["must be no more than 63 bytes"]
    assert validation.label_key_errors("a" * 64) == ["name part must be no more than 63 bytes"]
    assert validation.port_name_errors("a" * 16) == ["must be no more than 15 characters"]


def test_a_label_with_dots_is_told_so() -> None:
    assert validation.dns_1123_label_errors("a.b") == ["must not contain dots"]
    assert validation.dns_1123_label_errors("a-b") == []


def test_label_keys_have_a_name_and_perhaps_a_prefix() -> None:
    assert validation.label_key_errors("k.io/Z_a.b") == []
    assert validation.label_key_errors("a b") == [NAME_PART]
    assert validation.label_key_errors("") == ["name part must be non-empty", NAME_PART]
    assert validation.label_key_errors("example.com/") == ["name part must be non-empty", NAME_PART]
    assert validation.label_key_errors("UP.example.com/a") == [f"prefix part {SUBDOMAIN}"]
    assert validation.label_key_errors("a/b/c")[0].startswith("a valid label key must consist of")


def test_label_values_may_be_empty() -> None:
    assert validation.label_value_errors("") == []
    assert validation.label_value_errors("-x") == [
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
        "'12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ]


@pytest.mark.parametrize("name", ["web", "a-1", "http2"])
def test_port_names_that_are_good(name: str) -> None:
    assert validation.port_name_errors(name) == []


def test_port_names_say_all_that_is_wrong() -> None:
    assert validation.port_name_errors("-1--2") == [
        "must contain at least one letter (a-z)",
        "must not contain consecutive hyphens",
        "must not begin or end with a hyphen",
    ]


def test_addresses_are_read_strictly() -> None:
    assert validation.ip_errors("10.0.0.1") == validation.ip_errors("2001:db8::1") == []
    for text in ("010.0.0.1", "10.0.0", "fe80::1%eth0", "", "1.2.3.4/24"):
        assert validation.ip_errors(text) == ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    assert validation.cidr_errors("10.0.0.1/8") == []
    for text in ("10.0.0.0", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "x/8", "10.0.0.0/-1"):
        assert validation.cidr_errors(text)
    assert validation.ipv6_errors("10.0.0.1") == ["must be an IPv6 address"]


def test_environment_names_are_any_printable_text_without_an_equals_sign() -> None:
    assert validation.env_name_errors("a b.c-1") == []
    assert validation.env_name_errors("a=b") and validation.env_name_errors("é") and validation.env_name_errors("")
    assert validation.portable_env_name_errors("1a") and not validation.portable_env_name_errors("a.b")


def test_config_keys_become_file_names() -> None:
    assert validation.config_key_errors("a.b_c-D") == []
    assert validation.config_key_errors("..") == ["must not be '..'"]
    assert validation.config_key_errors("..a") == ["must not start with '..'"]
    assert validation.config_key_errors("a/b")


def test_path_segments_need_only_be_safe_in_a_url() -> None:
    assert validation.path_segment_errors("system:node") == []
    assert validation.path_segment_errors("a/b%") == ["may not contain '/'", "may not contain '%'"]
