"""Protocol buffer text, as Caffe's prototxt files are written: messages as lists of fields."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...source import shorten
from ..draft import refuse

MAX_BYTES = 8 << 20
MAX_DEPTH = 32
MAX_FIELDS = 400_000
TOKEN = re.compile(
    r"""(?P<space>[\s,;]+|\#[^\n]*)|(?P<name>[A-Za-z_][\w.]*)"""
    r"""|(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][-+]?\d+)?[fF]?|\.\d+(?:[eE][-+]?\d+)?[fF]?))"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<mark>[{}<>:\[\]-])"""
)


class Message:
    """One message: its fields in order, each with the line that it begins in."""

    def __init__(self, line: int = 1) -> None:
        self.fields: list[tuple[str, Any]] = []
        self.line = line

    def all(self, *names: str) -> list[Any]:
        return [value for name, value in self.fields if name in names]

    def get(self, name: str, default: Any = None) -> Any:
        """The last value of a field, which counts."""
        found = self.all(name)
        return found[-1] if found else default

    def message(self, name: str) -> "Message":
        """A nested message, empty where it is not given."""
        found = self.get(name)
        return found if isinstance(found, Message) else Message(self.line)

    def number(self, name: str, default: Any) -> Any:
        found = self.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float | type(default)):
            raise refuse(f"line {self.line}: {name} must be a number, got '{shorten(str(found))}'")
        return found

    def flag(self, name: str, default: bool) -> bool:
        found = self.get(name, default)
        if found in (True, False):
            return bool(found)
        raise refuse(f"line {self.line}: {name} must be true or false")

    def word(self, name: str, default: str = "") -> str:
        return str(self.get(name, default))


class Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse(text: str) -> Message:
    """Reads prototxt; raises `Problem` E021 with the line at fault."""
    return _Parser(_tokens(text)).run()


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise refuse(f"line {line}: cannot read '{shorten(text[at : at + 12])}'")
        if found.lastgroup != "space":
            yield Token(str(found.lastgroup), found[0], line)
        line += found[0].count("\n")
        at = found.end()
    yield Token("end", "", line)


class _Parser:
    def __init__(self, tokens: Iterator[Token]) -> None:
        self.tokens = tokens
        self.now = next(tokens)
        self.count = 0

    def run(self) -> Message:
        found = self.message("end", 0)
        if not found.fields:
            raise refuse("the file is empty")
        return found

    def step(self) -> Token:
        token, self.now = self.now, next(self.tokens, self.now)
        return token

    def wrong(self, wanted: str) -> Exception:
        got = "the end of the file" if self.now.kind == "end" else f"'{shorten(self.now.text)}'"
        return refuse(f"line {self.now.line}: expected {wanted}, got {got}")

    def message(self, end: str, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise refuse(f"line {self.now.line}: nested deeper than {MAX_DEPTH} levels")
        found = Message(self.now.line)
        while not (self.now.kind == end or self.now.text == end):
            if self.now.kind != "name":
                raise self.wrong("a field's name")
            self.count += 1
            if self.count > MAX_FIELDS:
                raise refuse(f"the file has more than {MAX_FIELDS:,} fields")
            name = self.step().text
            colon = self.now.text == ":"
            if colon:
                self.step()
            if self.now.text in ("{", "<"):
                found.fields.append((name, self.nested(depth)))
            elif not colon:
                raise self.wrong("':' or '{'")
            elif self.now.text == "[":
                self.step()
                while self.now.text != "]":
                    value = self.nested(depth) if self.now.text in ("{", "<") else self.scalar()
                    found.fields.append((name, value))
                self.step()
            else:
                found.fields.append((name, self.scalar()))
        if self.now.kind != "end":
            self.step()
        elif end != "end":
            raise self.wrong(f"'{end}'")
        return found

    def nested(self, depth: int) -> Message:
        return self.message("}" if self.step().text == "{" else ">", depth + 1)

    def scalar(self) -> Any:
        token = self.step()
        if token.kind == "text":
            value = token.text[1:-1]
            while self.now.kind == "text":
                value += self.step().text[1:-1]
            return value
        if token.kind == "name":
            return {"true": True, "false": False}.get(token.text, token.text)
        if token.kind == "number":
            plain = (
                token.text.rstrip("fF") if not token.text.lower().startswith("0x") else token.text
            )
            if len(plain) > 40:
                raise refuse(f"line {token.line}: a number of {len(plain)} digits")
            if re.fullmatch(r"[-+]?\d+", plain):
                return int(plain)
            return int(plain, 16) if plain.lower().startswith("0x") else float(plain)
        self.now = token
        raise self.wrong("a value")
