"""The grammar of CEL: text to a tree of nodes.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax. A node is a tuple: its kind, its offset in the
text, and its parts; macros are calls here, and the compiler's affair.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pybernetes.machinery.cel.values import CompileError, Uint

Node = tuple[Any, ...]  # (kind, offset, …)

DEPTH_LIMIT: Final = 100
_TOKEN: Final = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<string>(?:[rR][bB]?|[bB][rR]?)?
          (?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*|`[a-zA-Z0-9_.\-/ ]+`)
      | (?P<op>\|\||&&|==|!=|<=|>=|\.\?|\[\?|[-+*/%!<>?:.,()\[\]{}=])
    """,
    re.VERBOSE | re.DOTALL,
)
_RELATIONS: Final = ("==", "!=", "<", "<=", ">", ">=", "in")
_RESERVED: Final = frozenset((
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace",
    "return", "var", "void", "while",
))  # fmt: skip
_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"', "`": "`",
    "?": "?",
}  # fmt: skip
_ESCAPE: Final = re.compile(r"\\(?:([xX])([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)


def parse(text: str) -> Node:
    """Raises `CompileError`."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._at = 0
        self._depth = 0

    def _scan(self) -> Any:
        at, text = 0, self._text
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise CompileError(text, at, f"Syntax error: token recognition error at: '{text[at]}'")
            if match.lastgroup != "space":
                yield match.lastgroup, match[0], at
            at = match.end()
        yield "end", "<EOF>", len(text)

    def whole(self) -> Node:
        node = self._expression()
        if self._tokens[self._at][0] != "end":
            raise self._unexpected()
        return node

    def _unexpected(self) -> CompileError:
        _, text, at = self._tokens[self._at]
        return CompileError(self._text, at, f"Syntax error: mismatched input '{text}' expecting <EOF>")

    def _next(self, *texts: str) -> str:
        """Take the token if it is one of these; "" otherwise."""
        kind, text, _ = self._tokens[self._at]
        if text in texts and kind in ("op", "ident"):
            self._at += 1
            return str(text)
        return ""

    def _expect(self, text: str) -> None:
        if not self._next(text):
            _, found, at = self._tokens[self._at]
            raise CompileError(self._text, at, f"Syntax error: mismatched input '{found}' expecting '{text}'")

    def _offset(self) -> int:
        return int(self._tokens[self._at][2])

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise CompileError(self._text, self._offset(), "expression recursion limit exceeded")
        try:
            condition = self._binary(0)
            at = self._offset()
            if not self._next("?"):
                return condition
            yes = self._binary(0)
            self._expect(":")
            return ("if", at, condition, yes, self._expression())
        finally:
            self._depth -= 1

    _LEVELS: Final = (("||",), ("&&",), _RELATIONS, ("+", "-"), ("*", "/", "%"))

    def _binary(self, level: int) -> Node:
        if level == len(self._LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while True:
            at = self._offset()
            operator = self._next(*self._LEVELS[level])
            if not operator:
                return left
            left = ("binary", at, operator, left, self._binary(level + 1))

    def _unary(self) -> Node:
        at = self._offset()
        operator = self._next("!", "-")
        if not operator:
            return self._member(self._primary())
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise CompileError(self._text, at, "expression recursion limit exceeded")
        inner = self._unary()
        self._depth -= 1
        if operator == "-" and inner[0] == "literal" and type(inner[2]) in (int, float):
            return ("literal", at, -inner[2])
        return ("unary", at, operator, inner)

    def _member(self, node: Node) -> Node:
        while True:
            at = self._offset()
            operator = self._next(".", ".?", "[", "[?", "{")
            if not operator:
                return node
            if operator == "{":
                node = self._message(at, node)
                continue
            if operator in ("[", "[?"):
                index = self._expression()
                self._expect("]")
                node = ("index" if operator == "[" else "opt_index", at, node, index)
                continue
            name = self._name()
            if operator == ".?":
                node = ("opt_select", at, node, name)
            elif self._next("("):
                node = ("call", at, node, name, self._arguments(")"))
            else:
                node = ("select", at, node, name)

    def _message(self, at: int, node: Node) -> Node:
        """`Object.spec{replicas: 3}`: ("message", at, its type's name, ((optional, field, where, value), …))."""
        name = _dotted(node)
        if not name:
            raise CompileError(self._text, at, "Syntax error: extraneous input '{' expecting <EOF>")
        found: list[tuple[bool, str, int, Node]] = []
        while not self._next("}"):
            if found:
                self._expect(",")
                if self._next("}"):
                    break
            optional = bool(self._next("?"))
            field = self._name()
            where = self._offset()
            self._expect(":")
            found.append((optional, field, where, self._expression()))
        return ("message", at, name, tuple(found))

    def _name(self) -> str:
        kind, text, at = self._tokens[self._at]
        if kind != "ident":
            raise CompileError(self._text, at, f"Syntax error: no viable alternative at input '.{text}'")
        self._at += 1
        return str(text).strip("`")

    def _arguments(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._next(end):
            if found:
                self._expect(",")
                if end != ")" and self._next(end):
                    break
            found.append(self._expression())
        return tuple(found)

    def _primary(self) -> Node:
        kind, text, at = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return ("literal", at, _number(text, self._text, at))
        if kind == "string":
            return ("literal", at, _string(text))
        if kind == "ident":
            return self._identifier(text, at)
        if text == "(":
            node = self._expression()
            self._expect(")")
            return node
        if text == "[":
            return self._list(at)
        if text == "{":
            return self._map(at)
        if text == ".":  # a name from the root
            return self._identifier(self._name(), at)
        self._at -= 1
        raise CompileError(self._text, at, f"Syntax error: mismatched input '{text}' expecting an expression")

    def _identifier(self, text: str, at: int) -> Node:
        if text in ("true", "false", "null"):
            return ("literal", at, {"true": True, "false": False, "null": None}[text])
        if text in _RESERVED:
            raise CompileError(self._text, at, f"reserved identifier: {text}")
        if self._next("("):
            return ("call", at, None, text, self._arguments(")"))
        return ("ident", at, text)

    def _list(self, at: int) -> Node:
        found: list[tuple[bool, Node]] = []
        while not self._next("]"):
            if found:
                self._expect(",")
                if self._next("]"):
                    break
            optional = bool(self._next("?"))
            found.append((optional, self._expression()))
        return ("list", at, tuple(found))

    def _map(self, at: int) -> Node:
        found: list[tuple[bool, Node, Node]] = []
        while not self._next("}"):
            if found:
                self._expect(",")
                if self._next("}"):
                    break
            optional = bool(self._next("?"))
            key = self._binary(0)
            self._expect(":")
            found.append((optional, key, self._expression()))
        return ("map", at, tuple(found))


def _dotted(node: Node) -> str:
    """The name that a chain of selections spells; "" if it is something else."""
    if node[0] == "ident":
        return str(node[2])
    if node[0] == "select" and (before := _dotted(node[2])):
        return f"{before}.{node[3]}"
    return ""


def _number(text: str, whole: str, at: int) -> Any:
    if text[:2] in ("0x", "0X"):
        value = int(text.rstrip("uU"), 16)
        return Uint(value) if text[-1] in "uU" else value
    if text[-1] in "uU":
        return Uint(int(text[:-1]))
    if text.isdecimal():
        if int(text) > 2**63:
            raise CompileError(whole, at, "invalid int literal")
        return int(text)
    return float(text)


def _string(token: str) -> str | bytes:
    prefix = token[: len(token) - len(token.lstrip("rRbB"))].lower()
    body = token[len(prefix) :]
    quote = 3 if body[:3] in ('"""', "'''") else 1
    body = body[quote:-quote]
    is_bytes = "b" in prefix
    if "r" not in prefix:
        body = _ESCAPE.sub(lambda match: _unescape(match, is_bytes), body)
    if is_bytes:
        return body.encode("utf-8", "surrogateescape")
    return body


def _unescape(match: re.Match[str], is_bytes: bool) -> str:
    _, hexadecimal, short, long, octal, simple = match.groups()
    if simple is not None:
        return _ESCAPES.get(simple, match[0])
    code = int(hexadecimal or short or long or octal, 8 if octal else 16)
    if is_bytes and (hexadecimal or octal):
        return bytes([code]).decode("utf-8", "surrogateescape")
    return chr(code)
