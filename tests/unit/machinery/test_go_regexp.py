"""Regular expressions as Go reads them: what matches, what is refused in which words, and that no pattern takes for ever."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.go_regexp import PatternTooLarge, compile_pattern


@pytest.mark.parametrize(
    "pattern",
    [r"(a*)*b", r"(a+)+b", r"(a|a)*b", r"(a|aa)+$|b", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.*)(.*)(.*)(.*)(.*)(.*)[b]"],
)
def test_a_pattern_that_has_an_engine_backtrack_for_ever_comes_to_an_end(pattern: str) -> None:
    assert not compile_pattern(pattern).matches("a" * 5_000 + "!")


# Patterns that mean the same to both engines
_ATOMS = st.sampled_from([*"abc", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", "é", "^", "$", r"\b", r"\.", "[a-c]"])


def _larger(pattern: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.tuples(st.sampled_from(["a", "b", "[ab]", "."]), st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "+?"]))
    return st.one_of(
        st.lists(pattern, min_size=1, max_size=4).map("".join),
        st.lists(pattern, min_size=2, max_size=3).map(lambda branches: f"(?:{'|'.join(branches)})"),
        repeated.map("".join),
        pattern.map(lambda inner: f"({inner})"),
    )


@given(st.recursive(_ATOMS, _larger, max_leaves=8), st.text("abcé1 .\n", max_size=12))
def test_what_both_engines_read_alike_matches_alike(pattern: str, text: str) -> None:
    # `$` is the very end for Go, but for Python it is before the last line break, too.
    theirs = re.compile(pattern.replace("$", r"\Z"), re.ASCII).search(text)
    ours = compile_pattern(pattern)
    assert ours.matches(text) == (theirs is not None)
    assert ours.find(text) == (theirs and theirs[0])


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\pL+", "12 Straße 漢字", ["Straße", "漢字"]),
        (r"\p{Greek}+", "abc αβγ", ["αβγ"]),
        (r"\PL+", "a12b", ["12"]),
        (r"[[:upper:]]+", "abCD", ["CD"]),
        (r"a\z", "aa", ["a"]),
        (r"a$", "a\n", []),
        (r"(?m)^a$", "a\na", ["a", "a"]),
        (r"a.b", "a\nb", []),
        (r"(?s)a.b", "a\nb", ["a\nb"]),
        (r"(?i)ß|STRASSE", "strasse", ["strasse"]),
        (r"\Q.*\E", "a.*b", [".*"]),
        (r"\Q\C", r"\C", [r"\C"]),
        (r"[\\C]+", r"\C", [r"\C"]),
        (r"\x{e9}", "café", ["é"]),
        (r"(?P<one>a)(?<two>b)", "ab", ["ab"]),
        (r"(?U)a+", "aa", ["a", "a"]),
        (r"\d", "1١", ["1"]),
        (r"a{,2}", "a{,2}", ["a{,2}"]),
        # Empty matches: none right behind another match, and none within a character.
        (r"a*", "baac", ["", "aa", ""]),
        (r"x*", "é漢", ["", "", ""]),
        (r"a|", "aba", ["a", "a"]),
        (r"^", "aa", [""]),
        (r"\b", "ab c", ["", "", "", ""]),
    ],
)
def test_the_syntax_is_that_of_go(pattern: str, text: str, found: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert list(compiled.find_all(text)) == found
    assert compiled.matches(text) == bool(found)
    assert compiled.find(text) == (found[0] if found else None)


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"a\Z", r"invalid escape sequence: `\Z`"),
        (r"a\y", r"invalid escape sequence: `\y`"),
        (r"a\ö", r"invalid escape sequence: `\ö`"),
        (r"a\C", r"invalid escape sequence: `\C`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a**?b", "invalid nested repetition operator: `**?`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("b|*", "missing argument to repetition operator: `*`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("((a{100}){100}){100}", "invalid repeat count: `{100}`"),
        ("a(b", "missing closing ): `a(b`"),
        ("b)c", "unexpected ): `b)c`"),
        ("x[a", "missing closing ]: `[a`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        ("a(?=b)", "invalid or unsupported Perl syntax: `(?=`"),
        ("a(?!b)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
        ("a(?<=b)c", "invalid named capture: `(?<=b)c`"),
        ("(?P<n!>a)", "invalid named capture: `(?P<n!>`"),
        ("(?P<é>a)", "invalid named capture: `(?P<é>`"),
        (r"\pL{1000}", r"expression too large: `\pL{1000}`"),
    ],
)
def test_what_go_refuses_is_refused_in_its_words(pattern: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(f"error parsing regexp: {sentence}") + "$"):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", [r"\pL{1000}", r"(?:\pL{100}){10}", r"\pL" * 1_000_000, "a?" * 1_000_000])
def test_a_pattern_that_would_take_long_to_be_compiled_is_refused(pattern: str) -> None:
    with pytest.raises(PatternTooLarge):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [r"^\pL{1,63}$", ".{1000}", "^(?:[a-z0-9]{1,63}[.]){0,15}$", "|".join(map(str, range(1000)))]
)
def test_a_pattern_of_some_size_is_compiled_once(pattern: str) -> None:
    assert compile_pattern(pattern) is compile_pattern(pattern)


def test_nothing_is_loaded_before_there_is_a_pattern() -> None:
    code = "import sys, pybernetes.machinery.go_regexp, pybernetes.machinery.cel; sys.exit('re2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
