"""Reads answer sheets: YAML or JSON of one student, or CSV of many. All of it is bounded.

Nothing is constructed from YAML tags, no alias is followed, and nothing here evaluates an
answer: that is `reading`'s.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..diagnostics import Span
from ..source import Node, shorten
from .files import (
    SHEET_BYTES,
    SHEETS,
    TABLE_BYTES,
    TABLES,
    Refusal,
    RefusedError,
    bad_name,
    decode,
    read,
    shown,
)
from .quantities import quantity

MOST_DEPTH = 12
MOST_NODES = 20_000
MOST_ANSWERS = 5_000
MOST_ANSWER = 2_000  # characters kept of one answer; longer ones are unreadable anyway
MOST_ROWS = 1_000_000
MOST_REFUSED = 200  # lines of one CSV, before all of it is refused
NETWORK = frozenset({"", "network", "total", "totals", "whole", "null", "~", "-"})
COLUMNS = ("student", "layer", "quantity", "answer")
EXAMPLE = "student: Ann, answers: {CONV1: {output: 55x55x96, params: 34944}}"


class Given(NamedTuple):
    """One answer of a sheet: whose question (None: the network), what, and the answer."""

    layer: str | None
    quantity: str
    answer: Node


class Sheet(NamedTuple):
    """A student's answers, in order."""

    student: str
    path: str
    answers: tuple[Given, ...]


def read_sheets(path: str) -> Iterator[Sheet | Refusal]:
    """The sheets of one file, each read or refused; nothing is raised for a bad file."""
    name = os.path.basename(path)
    ending = os.path.splitext(name)[1].lower()
    try:
        fault = bad_name(name)
        if fault:
            raise RefusedError(f"the file's name {fault}")
        if ending in TABLES:
            yield from _table(decode(read(path, TABLE_BYTES)), shown(path))
            return
        if ending not in SHEETS:
            kinds = ", ".join((*SHEETS, *TABLES))
            raise RefusedError(f"this is no answer sheet: one ends in {kinds}")
        text = decode(read(path, SHEET_BYTES))
        root = of_json(text) if ending == ".json" else of_yaml(text)
        stem = os.path.splitext(name)[0]
        for i, one in enumerate(root.items if root.kind == "list" else [root], 1):
            yield _guarded(one, shown(path), stem if root.kind != "list" else f"{stem}-{i}")
    except RefusedError as refused:
        yield Refusal(shown(path), str(refused))


def _guarded(root: Node, path: str, stem: str) -> Sheet | Refusal:
    try:
        return _sheet(root, path, stem)
    except RefusedError as refused:
        return Refusal(path, str(refused))


# --- one sheet ------------------------------------------------------------------------


def _sheet(root: Node, path: str, stem: str) -> Sheet:
    if root.kind != "map":
        raise RefusedError(f"a sheet is a mapping, this is {root.describe()}: {EXAMPLE}")
    answers = root.get("answers")
    if answers is None:
        known = ", ".join(shorten(key) for key in list(root.keys())[:6])
        raise RefusedError(f"a sheet needs `answers:`, this has {known}: {EXAMPLE}")
    if answers.kind == "none":
        return Sheet(_student(root, stem), path, ())
    if answers.kind != "map":
        raise RefusedError(f"`answers:` maps layers to answers, this is {answers.describe()}")
    found = tuple(_answers(answers))
    if len(found) > MOST_ANSWERS:
        raise RefusedError(f"the sheet has more than {MOST_ANSWERS:,} answers")
    return Sheet(_student(root, stem), path, found)


def _student(root: Node, stem: str) -> str:
    node = root.get("student")
    if node is not None and node.kind in ("list", "map"):
        raise RefusedError(f"`student:` is a name, this is {node.describe()}")
    name = node.text.strip() if node is not None and node.kind != "none" else ""
    name = name or stem
    fault = bad_name(name)
    if fault:
        raise RefusedError(f"the student's name {fault}")
    return name


def _answers(node: Node) -> Iterator[Given]:
    for key, value in joined(node):
        name = key.text.strip()
        if value.kind == "map":
            layer = None if name.lower() in NETWORK else shorten(name, 200)
            for what, answer in joined(value):
                yield Given(layer, shorten(what.text.strip(), 60), answer)
        elif quantity(name) is not None:
            yield Given(None, name, value)
        else:
            yield Given(None if name.lower() in NETWORK else shorten(name, 200), "output", value)


def joined(node: Node) -> Iterator[tuple[Node, Node]]:
    """The pairs of a mapping; what a comma in braces cut in pieces is put together again.

    YAML reads `{params: 34,944}` as `params: 34` and a key `944` without a value.
    """
    pairs: list[tuple[Node, Node]] = []
    for key, value in node.pairs:
        cut = value.kind == "none" and not value.text and pairs and _fragment(key.text)
        if cut and pairs[-1][1].kind == "text" and not pairs[-1][1].quoted:
            whole = Node("text", pairs[-1][1].span)
            whole.text = f"{pairs[-1][1].text},{key.text}"
            pairs[-1] = (pairs[-1][0], whole)
        else:
            pairs.append((key, value))
    return iter(pairs)


def _fragment(text: str) -> bool:
    """A piece of a number or volume, and no name: `944`, `32`, `10)`."""
    return text[:1].isdigit() and len(text) <= 12 and quantity(text) is None


# --- YAML and JSON ----------------------------------------------------------------------


def of_yaml(text: str) -> Node:
    """The first document of a YAML text as nodes; raises `RefusedError`.

    Read event by event, so that depth, size and aliases are refused before anything grows.

    >>> of_yaml("answers: {CONV1: {params: 34944}}").get("answers").pairs[0][0].text
    'CONV1'
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise RefusedError(
                    f"YAML aliases (*{shorten(event.anchor or '')}) are not read in sheets"
                )
            if isinstance(event, yaml.ScalarEvent):
                builder.scalar(event.value, event.start_mark, event.style in ("'", '"'))
            elif isinstance(event, yaml.CollectionStartEvent):
                kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
                builder.open(kind, event.start_mark)
            elif isinstance(event, yaml.CollectionEndEvent):
                builder.close()
            elif isinstance(event, yaml.DocumentEndEvent):
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1})" if mark else ""
        what = shorten(str(error.problem or error.context), 120)
        if "nesting depth" in what:  # the scanner reads ahead, and has a limit since PyYAML 6.0.4
            raise RefusedError(f"it is nested deeper than {MOST_DEPTH} levels{where}") from None
        raise RefusedError(f"this is not readable YAML{where}: {what}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise RefusedError(f"this is not readable YAML: {shorten(first, 120)}") from None
    if builder.root is None or builder.root.kind == "none":
        raise RefusedError("the sheet is empty")
    return builder.root


class _Builder:
    """Builds nodes from events, with a stack of its own."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.stack: list[Node] = []
        self.keys: list[Node | None] = []
        self.count = 0

    def scalar(self, text: str, mark: Any, quoted: bool) -> None:
        node = self._node("text", mark)
        node.text = text if len(text) <= MOST_ANSWER else text[:MOST_ANSWER]
        node.quoted = quoted
        if not quoted and text in ("", "~", "null", "Null", "NULL"):
            node.kind = "none"
        self._place(node)

    def open(self, kind: str, mark: Any) -> None:
        if len(self.stack) >= MOST_DEPTH:
            raise RefusedError(
                f"it is nested deeper than {MOST_DEPTH} levels (line {mark.line + 1})"
            )
        node = self._node(kind, mark)
        self._place(node)
        self.stack.append(node)
        self.keys.append(None)

    def close(self) -> None:
        self.stack.pop()
        self.keys.pop()

    def _node(self, kind: str, mark: Any) -> Node:
        self.count += 1
        if self.count > MOST_NODES:
            raise RefusedError(f"it has more than {MOST_NODES:,} entries")
        return Node(kind, Span(mark.line + 1, mark.column + 1))

    def _place(self, node: Node) -> None:
        if not self.stack:
            self.root = self.root or node
            return
        parent = self.stack[-1]
        if parent.kind == "list":
            parent.items.append(node)
        elif self.keys[-1] is None:
            if node.kind in ("list", "map"):
                raise RefusedError("a mapping's key must be plain text")
            self.keys[-1] = node
        else:
            parent.pairs.append((self.keys[-1], node))
            self.keys[-1] = None


def of_json(text: str) -> Node:
    """A JSON text as nodes; numbers keep their spelling. Raises `RefusedError`.

    >>> of_json('{"params": 1e3}').get("params").text
    '1e3'
    """
    import json

    try:
        raw = json.loads(
            text, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal,
            object_pairs_hook=_Pairs,
        )  # fmt: skip
    except RecursionError:
        raise RefusedError(f"it is nested deeper than {MOST_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise RefusedError(
            f"this is not readable JSON (line {error.lineno}): {error.msg}"
        ) from None
    except ValueError as error:
        raise RefusedError(f"this is not readable JSON: {shorten(str(error), 120)}") from None
    left = [MOST_NODES]
    return _of_json(raw, left, 0)


class _Literal(str):
    """A JSON number, as it was spelled."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, doubled keys included."""


def _of_json(raw: Any, left: list[int], depth: int) -> Node:
    left[0] -= 1
    if left[0] < 0:
        raise RefusedError(f"it has more than {MOST_NODES:,} entries")
    if depth > MOST_DEPTH:
        raise RefusedError(f"it is nested deeper than {MOST_DEPTH} levels")
    if isinstance(raw, _Pairs):
        node = Node("map", None)
        for key, value in raw:
            node.pairs.append((_text(key, True), _of_json(value, left, depth + 1)))
        return node
    if isinstance(raw, list):
        node = Node("list", None)
        node.items = [_of_json(item, left, depth + 1) for item in raw]
        return node
    if raw is None:
        return Node("none", None)
    if isinstance(raw, bool):
        return _text("true" if raw else "false", False)
    return _text(str(raw), not isinstance(raw, _Literal))


def _text(text: str, quoted: bool) -> Node:
    node = Node("text", None)
    node.text = text if len(text) <= MOST_ANSWER else text[:MOST_ANSWER]
    node.quoted = quoted
    return node


# --- CSV ----------------------------------------------------------------------------------


def _table(text: str, path: str) -> Iterator[Sheet | Refusal]:
    """The sheets of all students in a CSV; a line that cannot be read is refused by itself."""
    lines = text.splitlines()
    if not lines or not text.strip():
        raise RefusedError("the file is empty")
    delimiter = max(",;\t", key=lambda char: lines[0].count(char))
    rows = _rows(text, delimiter)
    _, header = next(rows)
    places = _columns(header)
    answers: dict[str, list[Given]] = {}
    refused: dict[str, Refusal] = {}
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        found = _row(row, places, len(header), f"{path}:{line}")
        if isinstance(found, Refusal):
            refused.setdefault(found.student or found.path, found)
            if len(refused) > MOST_REFUSED:
                raise RefusedError(f"more than {MOST_REFUSED} of its lines cannot be read")
            continue
        student, given = found
        if len(answers.setdefault(student, [])) <= MOST_ANSWERS:
            answers[student].append(given)
    for student, mine in answers.items():
        if len(mine) > MOST_ANSWERS:
            reason = f"{shorten(student)} has more than {MOST_ANSWERS:,} answers"
            yield Refusal(path, reason, student)
        else:
            yield Sheet(student, path, tuple(mine))
    yield from refused.values()
    if not answers and not refused:
        raise RefusedError("it has a header and no answers")


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    import csv
    from io import StringIO

    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    try:
        for count, row in enumerate(reader):
            if count > MOST_ROWS:
                raise RefusedError(f"it has more than {MOST_ROWS:,} rows")
            yield reader.line_num, row
    except csv.Error as error:
        where = f"(line {reader.line_num})"
        raise RefusedError(
            f"this is not readable CSV {where}: {shorten(str(error), 120)}"
        ) from None


def _columns(header: Iterable[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        wanted = ",".join(COLUMNS)
        raise RefusedError(f"the first line must be the header {wanted}; it has no {missing[0]}")
    return [names.index(name) for name in COLUMNS]


def _row(
    row: list[str], places: list[int], width: int, where: str
) -> "tuple[str, Given] | Refusal":
    if len(row) <= max(places):
        wanted = max(places) + 1
        return Refusal(where, f"the line has {len(row)} of {wanted} columns: is a comma missing?")
    if any(cell.strip() for cell in row[width:]):
        reason = 'the line has too many columns: put an answer with a comma in "quotes"'
        return Refusal(where, reason)
    student, layer, what, answer = (row[i].strip() for i in places)
    fault = bad_name(student) if student else "is missing"
    if fault:
        return Refusal(where, f"the student's name {fault}", shorten(student))
    own = None if layer.lower() in NETWORK else shorten(layer, 200)
    node = _text(answer, True)
    node.kind = "text" if answer else "none"
    return student, Given(own, shorten(what, 60) or "output", node)
