import pytest

from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, duration_s, parse

FLAGS = (
    Flag("output", "", short="o"),
    Flag("all", "", Kind.BOOL),
    Flag("stdin", "", Kind.BOOL, short="i"),
    Flag("tty", "", Kind.BOOL, short="t"),
    Flag("tail", "", Kind.NUMBER, default=-1),
    Flag("filename", "", Kind.LIST, short="f"),
    Flag("dry-run", "", default="none", bare="unchanged"),
    Flag("timeout", "", Kind.DURATION),
)


@pytest.mark.parametrize("words", [["-oyaml"], ["-o", "yaml"], ["-o=yaml"], ["--output=yaml"], ["--output", "yaml"]])
def test_a_value_may_be_given_in_every_way_that_pflag_takes(words):
    assert parse(["pods", *words, "x"], FLAGS).options.text("output") == "yaml"
    assert parse(["pods", *words, "x"], FLAGS).args == ["pods", "x"]


def test_short_booleans_are_grouped_and_the_last_may_take_a_value():
    options = parse(["-ito", "json"], FLAGS).options
    assert options.flag("stdin")
    assert options.flag("tty")
    assert options.text("output") == "json"


def test_booleans_take_no_word_but_may_be_told_false():
    parsed = parse(["--all", "x", "-i=false"], FLAGS)
    assert parsed.options.flag("all")
    assert not parsed.options.flag("stdin")
    assert parsed.args == ["x"]


def test_everything_behind_two_dashes_is_left_alone():
    parsed = parse(["pod", "-i", "--", "ls", "-la", "--all"], FLAGS)
    assert parsed.args == ["pod", "ls", "-la", "--all"]
    assert parsed.dash == 1


def test_lists_are_split_and_collected():
    assert parse(["-f", "a,b", "-fc"], FLAGS).options.texts("filename") == ["a", "b", "c"]


def test_a_flag_with_a_bare_value_takes_no_word():
    parsed = parse(["--dry-run", "server"], FLAGS)
    assert (parsed.options.text("dry-run"), parsed.args) == ("unchanged", ["server"])
    assert parse(["--dry-run=server"], FLAGS).options.text("dry-run") == "server"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ix"], "unknown shorthand flag: 'x' in -ix"),
        (["-o"], "flag needs an argument: 'o' in -o"),
        (["--output"], "flag needs an argument: --output"),
        (["--tail=x"], 'invalid argument "x" for "--tail" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["--all=x"], 'invalid argument "x" for "--all" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (["--timeout=5"], 'invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"'),
    ],
)
def test_mistakes_are_told_in_pflags_words(words, sentence):
    with pytest.raises(Failure) as caught:
        parse(words, FLAGS)
    assert caught.value.message == sentence


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1m30s", 90), ("1.5h", 5400), ("-10ms", -0.01), ("300ms", 0.3)])
def test_durations_are_gos(text, seconds):
    assert duration_s(text) == pytest.approx(seconds)
