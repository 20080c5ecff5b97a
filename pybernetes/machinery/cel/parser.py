"""The grammar of CEL: text to a tree of nodes.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax. A node is a tuple: its kind, its offset in the
text, and its parts; macros are calls here, and the checker's affair. Texts are bounded, and so is the height of their trees, so
that whoever walks one may recurse.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pybernetes.machinery.cel.values import CompileError, Uint
from pybernetes.machinery.turns import spend

Node = tuple[Any, ...]  # (kind, offset, …)

DEPTH_LIMIT: Final = 100  # of brackets in brackets
HEIGHT_LIMIT: Final = 200  # of the tree
LENGTH_LIMIT: Final = 100_000  # in characters; upstream's
_OPERAND_UNITS: Final = 20  # of time
_TOKEN: Final = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d+\.\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<string>(?:[rR][bB]?|[bB][rR]?)?
          (?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*|`[a-zA-Z0-9_.\-/ ]+`)
      | (?P<op>\|\||&&|==|!=|<=|>=|\.\?|\[\?|[-+*/%!<>?:.,()\[\]{}=])
    """,
    re.VERBOSE | re.DOTALL,
)
# Of an expression, as upstream's parser lists them.
_STARTS: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
# How strongly operators bind.
_STRENGTH: Final = {
    "||": 0, "&&": 1, "==": 2, "!=": 2, "<": 2, "<=": 2, ">": 2, ">=": 2, "in": 2, "+": 3, "-": 3, "*": 4, "/": 4, "%": 4,
}  # fmt: skip
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
    if len(text) > LENGTH_LIMIT:
        raise CompileError("", 0, f"expression code point size exceeds limit: size: {len(text)}, limit {LENGTH_LIMIT}")
    node = _Parser(text).whole()
    if _height(node) > HEIGHT_LIMIT:
        raise CompileError(text, 0, "expression recursion limit exceeded")
    return node


def _height(node: Node) -> int:
    """Of the tree. It may be too high to recurse."""
    highest = 0
    waiting: list[tuple[Any, int]] = [(node, 1)]
    while waiting:
        part, height = waiting.pop()
        if isinstance(part, tuple):
            is_node = bool(part) and isinstance(part[0], str)
            highest = max(highest, height)
            waiting += ((inner, height + is_node) for inner in part)
    return highest


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

    def _binary(self, level: int) -> Node:
        """An operand, and the operators behind it that bind at least so strongly."""
        left = self._unary()
        while True:
            at = self._offset()
            kind, text, _ = self._tokens[self._at]
            strength = _STRENGTH.get(text, -1) if kind in ("op", "ident") else -1
            if strength < level:
                return left
            if text in ("||", "&&"):
                left = self._chain(text, left, strength)
                continue
            self._at += 1
            left = ("binary", at, text, left, self._binary(strength + 1))

    def _chain(self, operator: str, first: Node, strength: int) -> Node:
        """`a || b || c`, as a balanced tree: such chains are long."""
        operands, places = [first], []
        while True:
            at = self._offset()
            if not self._next(operator):
                break
            places.append(at)
            operands.append(self._binary(strength + 1))

        def balanced(low: int, high: int) -> Node:
            if low == high:
                return operands[low]
            middle = (low + high + 1) // 2 - 1
            return ("binary", places[middle], operator, balanced(low, middle), balanced(middle + 1, high))

        return balanced(0, len(operands) - 1)

    def _unary(self) -> Node:
        spend(_OPERAND_UNITS)
        operators = []
        while True:
            at = self._offset()
            operator = self._next("!", "-")
            if not operator:
                break
            operators.append((at, operator))
        kind, text, at = self._tokens[self._at]
        if operators and operators[-1][1] == "-" and kind == "number" and text[-1] not in "uU":
            operators.pop()
            self._at += 1
            node = self._member(("literal", at, _number(f"-{text}", self._text, at)))
        else:
            node = self._member(self._primary())
        for at, operator in reversed(operators):
            node = ("unary", at, operator, node)
        return node

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
            elif self._tokens[self._at][1] == "(":
                node = ("call", self._offset(), node, name, self._arguments())
            else:
                node = ("select", at, node, name)

    def _message(self, at: int, node: Node) -> Node:
        """`Object.spec{replicas: 3}`: ("message", at, its type's name, ((optional, field, where, value), …))."""
        name = dotted(node)
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

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while not self._next(")"):
            if found:
                self._expect(",")
            found.append(self._expression())
        return tuple(found)

    def _primary(self) -> Node:
        kind, text, at = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return ("literal", at, _number(text, self._text, at))
        if kind == "string":
            return ("literal", at, _string(text, self._text, at))
        if kind == "ident":
            return self._identifier(text, at)
        if text == "(":
            node = self._expression()
            self._expect(")")
            return node
        if text in ("[", "[?"):
            return self._list(at, optional=text == "[?")
        if text == "{":
            return self._map(at)
        if text == ".":  # a name from the root
            return self._identifier(self._name(), at)
        self._at -= 1
        raise CompileError(self._text, at, f"Syntax error: mismatched input '{text}' expecting {_STARTS}")

    def _identifier(self, text: str, at: int) -> Node:
        if text in ("true", "false", "null"):
            return ("literal", at, {"true": True, "false": False, "null": None}[text])
        if text in _RESERVED:
            raise CompileError(self._text, at, f"reserved identifier: {text}")
        if self._tokens[self._at][1] == "(":
            return ("call", self._offset(), None, text, self._arguments())
        return ("ident", at, text)

    def _list(self, at: int, *, optional: bool) -> Node:
        """`optional`: the first item is, its `?` has been taken."""
        found: list[tuple[bool, Node]] = []
        while optional or not self._next("]"):
            if found:
                self._expect(",")
                if self._next("]"):
                    break
            optional = optional or bool(self._next("?"))
            found.append((optional, self._expression()))
            optional = False
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


def dotted(node: Node) -> str:
    """The name that a chain of selections spells; "" if it is something else."""
    if node[0] == "ident":
        return str(node[2])
    if node[0] == "select" and (before := dotted(node[2])):
        return f"{before}.{node[3]}"
    return ""


def _number(text: str, whole: str, at: int) -> Any:
    """`text` may have a minus in front of it."""
    unsigned = text[-1] in "uU"
    digits = text.rstrip("uU") if unsigned else text
    hexadecimal = digits.lstrip("-")[:2] in ("0x", "0X")
    if not hexadecimal and not unsigned and not digits.lstrip("-").isdecimal():
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise CompileError(whole, at, "invalid double literal")
        return value
    found = int(digits, 16 if hexadecimal else 10) if len(digits) < 40 else 2**64
    if unsigned:
        if found >= 2**64:
            raise CompileError(whole, at, "invalid uint literal")
        return Uint(found)
    if not -(2**63) <= found < 2**63:
        raise CompileError(whole, at, "invalid int literal")
    return found


def _string(token: str, whole: str, at: int) -> str | bytes:
    prefix = token[: len(token) - len(token.lstrip("rRbB"))].lower()
    body = token[len(prefix) :]
    quote = 3 if body[:3] in ('"""', "'''") else 1
    body = body[quote:-quote]
    is_bytes = "b" in prefix
    if "r" not in prefix:
        try:
            body = _ESCAPE.sub(lambda match: _unescape(match, is_bytes), body)
        except ValueError as error:
            raise CompileError(whole, at, f"Syntax error: token recognition error at: '{error}'") from None
    if is_bytes:
        return body.encode("utf-8", "surrogateescape")
    return body


def _unescape(match: re.Match[str], is_bytes: bool) -> str:
    """Raises ValueError with what is no escape sequence."""
    _, hexadecimal, short, long, octal, simple = match.groups()
    if simple is not None:
        if simple not in _ESCAPES:
            raise ValueError(match[0])
        return _ESCAPES[simple]
    code = int(hexadecimal or short or long or octal, 8 if octal else 16)
    if is_bytes:
        if short or long:  # bytes have no characters
            raise ValueError(match[0])
        return bytes([code]).decode("utf-8", "surrogateescape")
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError(match[0])
    return chr(code)
