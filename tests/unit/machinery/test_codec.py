import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import codec, go_yaml, json_text
from pybernetes.machinery.errors import BadRequest, DecodeError, UnsupportedMediaType

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{", "unexpected end of JSON input"),
        ("", "unexpected end of JSON input"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ("[1 2]", "invalid character '2' after array element"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("1 2", "invalid character '2' after top-level value"),
        ("nuts", "invalid character 't' in literal null (expecting 'l')"),
        ('"\x01"', "invalid character '\\x01' in string literal"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ('"\\q"', "invalid character 'q' in string escape code"),
        ('"\\u12x"', "invalid character 'x' in \\u hexadecimal character escape"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ("tru", "unexpected end of JSON input"),
    ],
)
def test_malformed_json_is_explained_in_gos_words(text: str, sentence: str) -> None:
    assert json_text.syntax_error(text.encode()) == sentence
    with pytest.raises(ValueError) as error:
        codec.load_json(text.encode())
    assert str(error.value) == sentence


@given(values)
def test_valid_json_has_no_syntax_error(value: object) -> None:
    assert json_text.syntax_error(orjson.dumps(value)) == ""


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    for media in (codec.JSON, codec.YAML):
        try:
            codec.decode(body, media, find_duplicates=True)
        except DecodeError:
            pass


def test_a_body_that_is_no_object_is_quoted_in_the_message() -> None:
    with pytest.raises(DecodeError) as error:
        codec.decode(b"a: [", codec.YAML, expected_kind="ConfigMap")
    assert error.value.message == (
        "the object provided is unrecognized (must be of type ConfigMap): "
        "yaml: line 1: did not find expected node content (613a205b)"
    )
    with pytest.raises(
        DecodeError, match=r"couldn't get version/kind; json parse error: unexpected end of JSON input \(<empty>\)"
    ):
        codec.decode(b"", expected_kind="Pod")
    with pytest.raises(DecodeError, match="json: cannot unmarshal array into Go value of type struct"):
        codec.decode(b"[]")


def test_other_media_types_are_not_read() -> None:
    with pytest.raises(UnsupportedMediaType):
        codec.decode(b"{}", "text/plain")
    assert codec.decode(b"{}", "application/json; charset=utf-8")[0] == {}


def test_fields_given_twice_are_found_where_they_are() -> None:
    body = b"""{"metadata":{"name":"a","name":"b"},"data":{"a":"1","a":"2"},
        "l":[{"x":1},{"x":1,"x" :2}],"s":"{\\"a\\":1,\\"a\\":2}"}"""
    obj, duplicates = codec.decode(body, find_duplicates=True)
    assert duplicates == ["metadata.name", "data.a", "l[1].x"]
    assert obj["metadata"] == {"name": "b"}
    assert codec.decode(body)[1] == []


def test_a_key_spelt_with_an_escape_is_still_given_twice() -> None:
    assert codec.decode(rb'{"a":1,"\u0061":2}', find_duplicates=True)[1] == ["a"]
    assert codec.decode(rb'{"a":1,"a":2,"b":"\u003a"}', find_duplicates=True)[1] == ["a"]


@given(values)
def test_what_is_encoded_has_no_duplicates(value: object) -> None:
    body = orjson.dumps({"v": value}, option=orjson.OPT_INDENT_2)
    assert codec.decode(body, find_duplicates=True)[1] == []


def test_nesting_is_bounded_before_parsing() -> None:
    deepest = b"[" * json_text.DEPTH_MAX + b"]" * json_text.DEPTH_MAX
    assert codec.load_json(deepest)
    with pytest.raises(ValueError, match="exceeded max depth"):
        codec.load_json(b"[" + deepest + b"]")
    assert codec.load_json(b'["' + b"[" * 1000 + b'"]')
    assert len(codec.load_json(b"[" + b"{}," * 5000 + b"{}]")) == 5001


def test_integers_beyond_64_bits_stay_numbers() -> None:
    assert codec.load_json(b"18446744073709551616") == 2.0**64


def test_the_stored_form_begins_with_the_header_and_leaves_the_revision_out() -> None:
    obj = {
        "data": {"a": "b"},
        "metadata": {"name": "x", "resourceVersion": "7", "uid": "u"},
        "apiVersion": "v1",
        "kind": "ConfigMap",
    }
    encoded = codec.encode(obj)
    assert encoded == b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","uid":"u"},"data":{"a":"b"}}'
    assert obj["metadata"] == {"name": "x", "resourceVersion": "7", "uid": "u"}


def test_what_is_too_deep_to_store_is_a_bad_request() -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(BadRequest):
        codec.dumps(deep)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("Yes", True),
        ("on", True),
        ("n", False),
        ("OFF", False),
        ("true", True),
        ('"y"', "y"),
        ("'no'", "no"),
        ("0644", 420),
        ('"0644"', "0644"),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("-0644", -420),
        ("1_000", 1000),
        ("08", 8),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("+1", 1),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("null", None),
        ("", None),
        ("!!str 1", "1"),
        ("!!binary aGk=", "hi"),
        ("18446744073709551615", 2**64 - 1),
        ("nginx:1.0", "nginx:1.0"),
        ("yes!", "yes!"),
        ("10.0.0.1", "10.0.0.1"),
        ("1.2.3", "1.2.3"),
        ("|\n  1\n", "1\n"),
    ],
)
def test_yaml_scalars_mean_what_gos_library_makes_of_them(text: str, value: object) -> None:
    loaded = codec.load_yaml(f"a: {text}".encode())["a"]
    assert loaded == value and type(loaded) is type(value)


def test_yaml_keys_are_text() -> None:
    assert codec.load_yaml(b"1: a\ntrue: b\non: c\n1.5: d") == {"1": "a", "true": "c", "1.5": "d"}


def test_yaml_merge_keys_and_aliases_are_expanded() -> None:
    text = b"base: &b {x: 1, z: 2}\nmade: {<<: *b, z: 3}\nlist: [*b, *b]"
    loaded = codec.load_yaml(text)
    assert loaded["made"] == {"x": 1, "z": 3}
    assert loaded["list"][0] is not loaded["list"][1]


def test_a_yaml_bomb_is_refused() -> None:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 10)) for level in range(1, 9)]
    with pytest.raises(ValueError, match="excessive aliasing"):
        codec.load_yaml(b"\n".join(lines))


def test_yaml_keys_given_twice_are_found() -> None:
    duplicates: list[str] = []
    assert codec.load_yaml(b"a: {b: 1, b: 2}\nc: [{d: 1, d: 1}]", duplicates) == {"a": {"b": 2}, "c": [{"d": 1}]}
    assert duplicates == ["a.b", "c[0].d"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "yaml: line 1: did not find expected node content"),
        ("a:\n\tb: 1", "yaml: line 2: found character that cannot start any token"),
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("a: *x", "yaml: unknown anchor 'x' referenced"),
    ],
)
def test_malformed_yaml_is_explained_in_gos_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        codec.load_yaml(text.encode())
    assert str(error.value) == sentence


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=6), values, max_size=4
    )
)
def test_yaml_that_we_write_reads_back(value: dict[str, object]) -> None:
    assert codec.load_yaml(go_yaml.dump(value)) == value


@pytest.mark.parametrize("text", ["0._", "1._5", "-_1", "+_1", "1e_5", "1_000"])
def test_digit_separators_are_found_wherever_go_lets_them_stand(text: str) -> None:
    # `0._` was found by the property below: it was read as text.
    assert codec.load_yaml(f"a: {text}\n".encode()) == {"a": float(text.replace("_", ""))}


@given(st.text("yYnNoOfFtTrRuUeE0123456789.-+_xXabe:~ ", max_size=10))
def test_both_yaml_readers_agree_on_plain_scalars(text: str) -> None:
    document = f"a: {text}\n".encode()
    try:
        careful = go_yaml.load(document)
    except ValueError:
        return
    assert codec.load_yaml(document) == careful


def test_manifests_are_streams_of_documents() -> None:
    assert list(codec.decode_all(b"---\n# nothing\n---\na: 1\n---\n---\nb: 2\n")) == [{"a": 1}, {"b": 2}]
    assert list(codec.decode_all(b'{"a":1}\n{"b":2}\n')) == [{"a": 1}, {"b": 2}]
    assert list(codec.decode_all(b'{"a":1}\n---\nb: 2\n')) == [{"a": 1}, {"b": 2}]
    assert list(codec.decode_all(b"")) == []
    with pytest.raises(ValueError, match="invalid character"):
        list(codec.decode_all(b'{"a":1} {x}'))


def test_yaml_is_written_as_upstream_writes_it() -> None:
    obj = {"kind": "A", "b": "y", "mode": "0644", "when": "2026-01-01T00:00:00Z", "items": [{"a": []}], "text": "a\nb\n"}
    assert codec.encode_yaml(obj).decode() == (
        'b: "y"\nitems:\n- a: []\nkind: A\nmode: "0644"\ntext: |\n  a\n  b\nwhen: "2026-01-01T00:00:00Z"\n'
    )


def test_what_is_stored_takes_the_memory_of_its_length() -> None:
    # It was that of the encoder's buffer: eight times as much for a small ConfigMap, for as long as it lived.
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "x" * 512}}
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [codec.encode(obj) for _ in range(200)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(kept) < 2 * len(kept[0])
