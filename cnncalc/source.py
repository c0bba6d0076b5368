"""Text with positions: YAML nodes that remember their line and column.

Nothing is constructed from YAML tags: scalars stay text until a field reads them.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from .diagnostics import Problem, Span

MAX_BYTES = 2_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000

NULLS = ("", "~", "null", "Null", "NULL")


class Node:
    """One YAML value: `text` of a scalar, `items` of a list or `pairs` of a mapping.

    `value` holds an already computed Python value (a number or closed form) when
    the node was built by `Node.of` and not read from a file.
    """

    __slots__ = ("items", "kind", "pairs", "quoted", "span", "text", "value")

    def __init__(self, kind: str, span: Span | None) -> None:
        self.kind = kind
        self.span = span
        self.text = ""
        self.quoted = False
        self.items: list[Node] = []
        self.pairs: list[tuple[Node, Node]] = []
        self.value: Any = None

    @classmethod
    def of(cls, value: Any, span: Span | None = None) -> "Node":
        """A node for a plain Python value.

        >>> Node.of([3, "same"]).items[1].text
        'same'
        """
        if isinstance(value, Node):
            return value
        if value is None:
            return cls("none", span)
        if isinstance(value, str):
            node = cls("text", span)
            node.text = value
            return node
        if isinstance(value, Mapping):
            node = cls("map", span)
            node.pairs = [(cls.of(str(k), span), cls.of(v, span)) for k, v in value.items()]
            return node
        if isinstance(value, Sequence):
            node = cls("list", span)
            node.items = [cls.of(v, span) for v in value]
            return node
        node = cls("value", span)
        node.value = Fraction(str(value)) if isinstance(value, float) else value
        node.text = str(value)
        return node

    def get(self, key: str) -> "Node | None":
        for k, v in self.pairs:
            if k.text == key:
                return v
        return None

    def keys(self) -> Iterator[str]:
        return (k.text for k, _ in self.pairs)

    def describe(self) -> str:
        """What it is, in a user's words."""
        return {
            "none": "nothing",
            "list": "a list",
            "map": "a mapping",
            "text": f"'{shorten(self.text)}'",
            "value": shorten(self.text),
        }[self.kind]


def readable(path: str) -> str:
    """A path as text: bytes that the locale could not decode are read as UTF-8.

    In a C locale the system hands over the bytes of `é` as two surrogates, which no file
    format can hold.

    >>> readable("caf\\udcc3\\udca9.yaml"), readable("\\udcff.yaml") == "\ufffd.yaml"
    ('café.yaml', True)
    """
    if path.isascii():
        return path
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # half of a pair, which stands for no byte
        return path.encode("utf-8", "replace").decode("utf-8")


def shorten(text: str, width: int = 40) -> str:
    """Text fit for a message: one line, printable, not longer than `width`."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in readable(text))
    return text if len(text) <= width else text[: width - 1] + "…"


class Source:
    """A text and where it came from."""

    __slots__ = ("lines", "path", "text")

    def __init__(self, text: str, path: str = "<text>") -> None:
        self.text = text
        self.path = readable(path)
        self.lines = text.splitlines()

    def line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def parse(source: Source) -> Node:
    """Reads one YAML document into nodes; raises `Problem` E001, E013 or E019."""
    import yaml

    if len(source.text) > MAX_BYTES:
        raise Problem("E013", f"the file is larger than {MAX_BYTES:,} characters")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_size(source.text, loader)
        root = yaml.compose(source.text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        raise _yaml_problem(error) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = shorten(str(error).splitlines()[0], 200)
        raise Problem("E001", f"this is not readable YAML: {message}", Span(1, 1)) from None
    if root is None:
        raise Problem("E001", "the file is empty", Span(1, 1), [STARTER])
    return _Converter(source).convert(root, 0)


STARTER = "a spec needs at least `input: 32x32x3` and `layers:` with a list under it"


def _check_size(text: str, loader: Any) -> None:
    """Refuses deep nesting and too many values before composing: the composer is recursive
    and slow. Every value but the first stands after a comma, a dash, a colon or a bracket."""
    nested = max(text.count("["), text.count("{"), text.count("- ")) >= MAX_DEPTH
    if not nested and sum(map(text.count, ",-:[{?\n")) < MAX_NODES:
        return
    import yaml

    depth = count = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            mark: Any = event.start_mark
            place = Span(mark.line + 1, mark.column + 1)
            if depth > MAX_DEPTH:
                raise Problem("E013", f"nested deeper than {MAX_DEPTH} levels", place)
            raise Problem("E013", f"the file has more than {MAX_NODES:,} values", place)


def _yaml_problem(error: Any) -> Problem:
    if "nesting depth" in str(error.problem):  # the scanner reads ahead; PyYAML 6.0.4 bounds it
        place = error.problem_mark or error.context_mark
        span = Span(place.line + 1, place.column + 1) if place else Span(1, 1)
        return Problem("E013", f"nested deeper than {MAX_DEPTH} levels", span)
    mark = error.problem_mark or error.context_mark
    span = Span(mark.line + 1, mark.column + 1) if mark else Span(1, 1)
    what = " ".join(str(x) for x in (error.context, error.problem) if x)
    return Problem(
        "E001",
        f"this is not readable YAML: {shorten(what, 160)}",
        span,
        ["check the indentation and that every [ { and quote is closed"],
    )


class _Converter:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.done: dict[int, Node] = {}
        self.open: set[int] = set()
        self.count = 0

    def convert(self, raw: Any, depth: int) -> Node:
        if id(raw) in self.done:
            return self.done[id(raw)]
        span = self._span(raw)
        if id(raw) in self.open:
            raise Problem("E010", "this alias contains itself", span)
        self.count += 1
        if depth > MAX_DEPTH:
            raise Problem("E013", f"nested deeper than {MAX_DEPTH} levels", span)
        if self.count > MAX_NODES:
            raise Problem("E013", f"the file has more than {MAX_NODES:,} values", span)
        self.open.add(id(raw))
        kind = raw.id
        node = Node({"scalar": "text", "sequence": "list", "mapping": "map"}[kind], span)
        if kind == "scalar":
            node.text = raw.value
            node.quoted = raw.style in ("'", '"')
            if not node.quoted and raw.value in NULLS:
                node.kind = "none"
        elif kind == "sequence":
            node.items = [self.convert(item, depth + 1) for item in raw.value]
        else:
            self._mapping(node, raw, depth)
        self.open.discard(id(raw))
        self.done[id(raw)] = node
        return node

    def _mapping(self, node: Node, raw: Any, depth: int) -> None:
        merged: list[tuple[Node, Node]] = []
        seen: set[str] = set()
        for raw_key, raw_value in raw.value:
            if raw_key.id != "scalar":
                raise Problem("E001", "a mapping's key must be plain text", self._span(raw_key))
            key = self.convert(raw_key, depth + 1)
            if key.kind == "none":
                key.kind = "text"
            value = self.convert(raw_value, depth + 1)
            if key.text == "<<":
                for part in value.items or [value]:
                    merged.extend(part.pairs)
                continue
            if key.text in seen:
                raise Problem("E019", f"'{shorten(key.text)}' is given twice", key.span)
            seen.add(key.text)
            node.pairs.append((key, value))
        for key, value in merged:
            if key.text not in seen:
                seen.add(key.text)
                node.pairs.append((key, value))

    def _span(self, raw: Any) -> Span:
        start, end = raw.start_mark, raw.end_mark
        line, column = start.line + 1, start.column + 1
        if end.line == start.line:
            return Span(line, column, max(1, end.column - start.column))
        rest = len(self.source.line(line).rstrip()) - start.column
        return Span(line, column, max(1, rest))
