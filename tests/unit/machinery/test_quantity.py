import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pybernetes.machinery import quantity
from pybernetes.machinery.quantity import Format, Quantity, canonical_resource, parse

texts = st.from_regex(r"\A[+-]?[0-9]{1,17}(\.[0-9]{1,8})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[+-]?[0-9]{1,2})?\Z")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("1e3", "1e3"),
        ("12e6", "12e6"),
        ("1E6", "1e6"),
        ("0.5Ki", "512"),
        ("1Ki", "1Ki"),
        ("0", "0"),
        ("0Mi", "0"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-1.5", "-1500m"),
        ("129M", "129M"),
        ("1000000Ki", "1000000Ki"),
        ("1.5", "1500m"),
        ("1000Mi", "1000Mi"),
        ("1048576Ki", "1Gi"),
        ("+1", "1"),
        ("0.001Ki", "1024m"),
        ("1E", "1E"),
        ("9223372036854775807", "9223372036854775807"),
        ("99999999999999999999", "9223372036854775807"),
        ("1e999999999", "9223372036854775807"),
        ("1e-999999999", "1e-9"),
        (" 1 ", "1"),
    ],
)
def test_canonical_form_is_the_shortest_without_a_fraction(text: str, canonical: str) -> None:
    assert parse(text).canonical() == canonical


@pytest.mark.parametrize("text", ["", "abc", ".", "1.2.3", "1 Gi", "--1", "1x", "1Gi1x", "true", "١"])
def test_what_does_not_look_like_a_quantity_is_refused_in_upstreams_words(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        parse(text)


@pytest.mark.parametrize("text", ["1ee", "1KiKi", "1kk", "1e", "1iK"])
def test_a_wrong_suffix_is_refused_in_upstreams_words(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse quantity's suffix"):
        parse(text)


def test_json_numbers_are_quantities_and_booleans_are_not() -> None:
    assert parse(2) == parse("2")
    assert parse(0.5) == parse("500m")
    with pytest.raises(ValueError):
        parse(True)


def test_whole_units_and_thousandths_are_rounded_up() -> None:
    assert parse("1500m").value == 2
    assert parse("-1500m").value == -2
    assert parse("100u").milli == 1
    assert parse("2").milli == 2000


def test_a_resource_list_rounds_up_to_thousandths() -> None:
    assert canonical_resource("1u") == "1m"
    assert canonical_resource("1024Mi") == "1Gi"
    assert canonical_resource("0.5") == "500m"


def test_sums_keep_the_family_of_the_first_that_is_not_zero() -> None:
    assert (quantity.ZERO + parse("1Gi")).canonical() == "1Gi"
    assert (parse("1Gi") + parse("1Gi")).canonical() == "2Gi"
    assert (parse("1") - parse("1")).canonical() == "0"
    assert parse("1Ki") > parse("1k")


@given(texts)
def test_canonical_text_reads_back_as_the_same_amount_and_is_stable(text: str) -> None:
    first = parse(text)
    assume(abs(first.value) < 2**63)  # short text above that is not capped, but longer text for the same amount is
    again = parse(first.canonical())
    assert again == first
    assert again.canonical() == first.canonical()


@given(texts, texts)
def test_arithmetic_is_exact(one: str, other: str) -> None:
    left, right = parse(one), parse(other)
    assert (left + right) - right == left
    assert (left < right) == (left.nanos < right.nanos)


@given(st.integers(-(10**15), 10**15), st.sampled_from(Format))
def test_value_is_never_below_the_amount(milli: int, family: Format) -> None:
    amount = Quantity(milli * 10**6, family)
    assert abs(amount.value) * 1000 >= abs(milli)
    assert amount.milli == milli
