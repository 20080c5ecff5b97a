"""A header that came on several lines is one field, and remembers the lines."""

from hpack import Encoder

from pybernetes.machinery.http.header_blocks import HeadReader
from pybernetes.machinery.http.messages import Repeated, lines_of


def test_lines_are_joined_as_one_field():
    field = Repeated.joined(Repeated.joined("CN=a, OU=b", "ops"), "dev")
    assert field == "CN=a, OU=b, ops, dev"
    assert list(lines_of(field)) == ["CN=a, OU=b", "ops", "dev"]


def test_a_client_may_send_several_lines():
    assert Repeated.of(["a", "b"]) == "a, b"
    assert list(lines_of(Repeated.of(["a", "b"]))) == ["a", "b"]


def test_a_field_that_came_once_is_one_line():
    assert list(lines_of("a, b")) == ["a, b"]


def test_http2_keeps_lines_apart():
    head = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "x")]
    fields = [("x-remote-group", "CN=a, OU=b"), ("x-remote-group", "ops"), ("cookie", "a=1"), ("cookie", "b=2")]
    headers = HeadReader(4096).read(Encoder().encode(head + fields)).headers
    assert list(lines_of(headers["x-remote-group"])) == ["CN=a, OU=b", "ops"]
    assert headers["cookie"] == "a=1; b=2"


def test_many_lines_cost_no_more_than_their_text():
    field = "0"
    for number in range(1, 20_000):
        field = Repeated.joined(field, str(number % 10), "")
    assert len(lines_of(field)) == len(field) == 20_000
