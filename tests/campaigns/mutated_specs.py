"""Breaks every bundled spec in many ways, and looks at what cnncalc says of it.

    python tests/campaigns/mutated_specs.py [--each 1000] [--seed 0] [--only NAME] [--show 10]

A mutation has the right answer if a diagnostic of a code that is right for it stands at the
line that is at fault: known beforehand for names, fields and types; for sizes, the layer that
is named is the mutated one or one that reads it, and plain arithmetic of this script agrees
that it does not fit. Every size error has to offer a change that fits when it is made.
"""

import argparse
import random
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import cnncalc
from cnncalc.layers import REGISTRY
from cnncalc.source import Node, Source, parse

TYPES = frozenset({"E001", "E003", "E004", "E005", "E006", "E007", "E011", "E012", "E014", "E015",
                   "E016", "S005", "S008"})  # fmt: skip
SIZES = frozenset({f"S{i:03}" for i in range(1, 30)})


class Mutation(NamedTuple):
    """A broken text: what was done where, and the codes that are right (empty: sizes)."""

    kind: str
    text: str
    line: int
    codes: frozenset[str]


class Place(NamedTuple):
    """An op of a spec: where its name stands, and its fields' keys and values."""

    op: Node
    fields: list[tuple[Node, Node]]


def places(node: Node, blocks: frozenset[str]) -> Iterator[Place]:
    """All ops under a node, in layers, branches and blocks."""
    if node.kind == "text" and node.text in REGISTRY:
        yield Place(node, [])
    for item in node.items:
        yield from places(item, blocks)
    for key, value in node.pairs:
        if key.text in REGISTRY:
            yield Place(key, value.pairs)
            if value.kind == "list":
                yield from places(value, blocks)
        elif key.text not in ("expect", "name", "from", "share", "args", "outputs"):
            yield from places(value, blocks)


def typos(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word))
    match rng.randrange(4):
        case 0 if at + 1 < len(word):
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1 if len(word) > 3:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + rng.choice("qxz") + word[at:]


class Breaker:
    """Draws mutations of one text."""

    def __init__(self, text: str, rng: random.Random) -> None:
        self.text, self.rng = text, rng
        self.lines = text.splitlines(keepends=True)
        root = parse(Source(text))
        blocks = root.get("blocks")
        self.blocks = frozenset(blocks.keys()) if blocks else frozenset()
        self.places: list[Place] = []
        for part in filter(None, (root.get("layers"), blocks)):
            self.places += places(part, self.blocks)
        self.known = {*self.blocks, *REGISTRY}
        self.names = {n for m in re.finditer(r"[A-Za-z_][\w/.-]*", text) for n in (m[0],)}

    def draw(self) -> Mutation | None:
        kinds = (self.op, self.field, self.name, self.kind, self.kind, self.stride, self.channels,
                 self.deleted, self.swapped)  # fmt: skip
        return self.rng.choice(kinds)()

    def edited(self, node: Node, new: str) -> str | None:
        """The text with a scalar replaced, where it stands in the text as it is."""
        if node.span is None or node.quoted:
            return None
        line = self.lines[node.span.line - 1]
        at = node.span.column - 1
        if line[at : at + len(node.text)] != node.text:
            return None
        changed = line[:at] + new + line[at + len(node.text) :]
        rest = self.lines[: node.span.line - 1], self.lines[node.span.line :]
        return "".join([*rest[0], changed, *rest[1]])

    def made(self, kind: str, node: Node, new: str, codes: frozenset[str]) -> Mutation | None:
        text = self.edited(node, new)
        if text is None or node.span is None:
            return None
        return Mutation(kind, text, node.span.line, codes)

    def op(self) -> Mutation | None:
        node = self.rng.choice(self.places).op
        new = typos(node.text, self.rng)
        return None if new in self.known else self.made("op", node, new, frozenset({"E003"}))

    def field(self) -> Mutation | None:
        place = self.rng.choice([p for p in self.places if p.fields] or self.places)
        if not place.fields:
            return None
        key, _ = self.rng.choice(place.fields)
        new = typos(key.text, self.rng)
        if new in REGISTRY[place.op.text].fields:
            return None
        return self.made("field", key, new, frozenset({"E004"}))

    def name(self) -> Mutation | None:
        """A reference to a layer or a value that does not exist."""
        values = [v for p in self.places for _, v in p.fields if v.kind == "text"]
        named = [v for v in values if re.fullmatch(r"[A-Za-z]\w*", v.text)]
        named = [v for v in named if v.text not in ("true", "false")]
        if not named:
            return None
        node = self.rng.choice(named)
        new = typos(node.text, self.rng)
        if new in self.names:
            return None
        return self.made("name", node, new, frozenset({"E007", "E006", "E012"}))

    def kind(self) -> Mutation | None:
        values = [(k, v) for p in self.places for k, v in p.fields if v.kind == "text"]
        if not values:
            return None
        _, node = self.rng.choice(values)
        new = self.rng.choice(["banana pie", "{a: 1}", "[1, 2, 3, 4, 5]", "-3", "(3", "!", "''",
                               "2..5", "1e999"])  # fmt: skip
        return self.made("type", node, new, TYPES)

    def stride(self) -> Mutation | None:
        found = [v for p in self.places for k, v in p.fields if k.text == "stride"]
        found = [v for v in found if v.text.isdigit()]
        if not found:
            return None
        node = self.rng.choice(found)
        new = self.rng.choice(["0", "3", "4", "5", "7", "1000"])
        codes = frozenset({"E006"}) if new == "0" else frozenset()
        return None if new == node.text else self.made("stride", node, new, codes)

    def channels(self) -> Mutation | None:
        fields = ("filters", "units", "groups", "output", "to", "heads")
        found = [v for p in self.places for k, v in p.fields if k.text in fields]
        found = [v for v in found if v.text.isdigit()]
        if not found:
            return None
        node = self.rng.choice(found)
        new = str(max(1, int(node.text) + self.rng.choice([-1, 1, 3, 17])))
        return None if new == node.text else self.made("channels", node, new, frozenset())

    def items(self) -> list[tuple[int, int]]:
        """First and last lines of list items that stand on lines of their own."""
        found = []
        for i, line in enumerate(self.lines):
            if not re.match(r"\s*- \S", line):
                continue
            indent = len(line) - len(line.lstrip())
            end = i + 1
            while end < len(self.lines) and (
                not self.lines[end].strip()
                or len(self.lines[end]) - len(self.lines[end].lstrip()) > indent
            ):
                end += 1
            found.append((i, end))
        return found

    def deleted(self) -> Mutation | None:
        items = self.items()
        if not items:
            return None
        start, end = self.rng.choice(items)
        return Mutation("deleted", "".join(self.lines[:start] + self.lines[end:]), 0, frozenset())

    def swapped(self) -> Mutation | None:
        items = self.items()
        pairs = [(a, b) for a in items for b in items if a[1] == b[0]
                 and self.indent(a[0]) == self.indent(b[0])]  # fmt: skip
        if not pairs:
            return None
        a, b = self.rng.choice(pairs)
        lines = self.lines
        moved = lines[: a[0]] + lines[b[0] : b[1]] + lines[a[0] : a[1]] + lines[b[1] :]
        return Mutation("swapped", "".join(moved), 0, frozenset())

    def indent(self, line: int) -> int:
        return len(self.lines[line]) - len(self.lines[line].lstrip())


# --- judging ----------------------------------------------------------------------------


def judged(mutation: Mutation) -> tuple[str, str]:
    """`right`, `harmless` or what is wrong, and details."""
    try:
        report = cnncalc.check(Source(mutation.text, "mutated.yaml"), run=False)
    except Exception:
        return "traceback", traceback.format_exc(limit=-3)
    errors = [d for d in report.diagnostics if d.severity == "error"]
    shown = "; ".join(f"{d.code}@{d.span.line if d.span else '-'} {d.message[:70]}"
                      for d in errors[:4])  # fmt: skip
    if mutation.codes:
        good = [d for d in errors if d.code in mutation.codes
                and d.span and d.span.line == mutation.line]  # fmt: skip
        if good:
            return "right", ""
        known = [d for d in errors if d.span and d.span.line == mutation.line]
        if not errors and mutation.kind in ("type", "name"):
            return "harmless", ""  # the value is one that the field takes
        return ("wrong code" if known else "wrong line"), shown
    if not errors:
        return "harmless", ""
    rows = {row.name: row for row in report.layers}
    for d in errors:
        if d.code in SIZES:
            row = rows.get(d.layer or "")
            if row is None or row.span is None or d.span is None:
                return "no place", shown
            if d.span.line < row.span.line:
                return "wrong line", shown
            if not unfit(d.code, row):
                return "wrong code", shown
            if mutation.line and not downstream(row, rows, mutation.line):
                return "wrong line", shown
        elif d.code[0] == "E" and mutation.kind in ("stride", "channels"):
            return "wrong code", shown
    return "right", ""


def downstream(row: Any, rows: dict[str, Any], line: int) -> bool:
    """Whether a layer of the mutated line is this one or feeds it; blocks stand on many lines."""
    seen, todo = set(), [row.name]
    while todo:
        name = todo.pop()
        if name in seen or name not in rows:
            continue
        seen.add(name)
        if rows[name].span and rows[name].span.line <= line:
            return True
        todo += rows[name].inputs
    return any(r.span and r.span.line >= line for r in rows.values())


def unfit(code: str, row: Any) -> bool:
    """Plain arithmetic: does this layer not fit for this reason?"""
    values, first = row.layer.values(), row.input[0]
    if any(not isinstance(n, int) for shape in row.input for n in shape):
        return True
    if code in ("S001", "S002"):
        bad = []
        for axis in range(len(first) - 1):
            k, s, d = (_axis(values.get(f, 1), axis, 1) for f in ("kernel", "stride", "dilation"))
            s = k if values.get("stride") is None else s
            pad = _axis(values.get("pad", 0), axis, 0)
            if not all(isinstance(n, int) for n in (k, s, d, pad)):
                return True
            room = first[axis] + 2 * pad - (d * (k - 1) + 1)
            bad.append(room < 0 if code == "S002" else room % s != 0)
        return any(bad)
    if code == "S003":
        connect = values.get("connect")
        listed = isinstance(connect, list | tuple) and len(connect) != values.get("filters")
        return listed or len(set(map(tuple, row.input))) > 1
    if code == "S004":
        numbers = [v for v in values.values() if isinstance(v, int)] + [first[-1]]
        return any(a % b for a in numbers for b in numbers if b > 1)
    if code == "S007":
        to = values.get("to")
        return not isinstance(to, list | tuple) or prod(first) != prod(to)
    return True


def _axis(value: Any, axis: int, default: Any) -> Any:
    if isinstance(value, list | tuple):
        return value[axis] if axis < len(value) else default
    return default if value is None else value


# --- the remedies -----------------------------------------------------------------------


def remedied(report: Any) -> Iterator[tuple[bool, str]]:
    """For each size error, whether one of the changes offered is made and fits."""
    rows = {row.name: row for row in report.layers}
    for d in report.diagnostics:
        if d.code not in SIZES or d.severity != "error" or d.layer not in rows:
            continue
        row = rows[d.layer]
        if any(not isinstance(n, int) for shape in row.input for n in shape):
            yield bool(d.help), f"{d.code} {d.message}: {d.help}"
            continue
        good = any(clean(text, d.code) for line in d.help for text in applied(line, row))
        yield good, f"{d.code} {row.op} {row.layer.values()} on {row.input}: {d.message} {d.help}"


def clean(text: str, code: str) -> bool:
    """Whether a spec has no errors of sizes and none of reading."""
    found = cnncalc.check(Source(text, "remedy.yaml"), run=False).diagnostics
    return not any(d.severity == "error" and d.code[0] in "ES" for d in found)


def applied(line: str, row: Any) -> Iterator[str]:
    """One-layer specs with the change of a help line made."""
    inputs = [list(shape) for shape in row.input]
    values = {k: v for k, v in row.layer.values().items() if v is not None}
    before: list[tuple[int, str]] = []  # (input, layer)
    op, text = row.op, line.partition(" fits")[0]
    joined = re.findall(r"`(crop|pad): (.*?)` on input (\d+)", text)
    mixed = re.match(r"a 1x1 convolution with (\d+) filters on input (\d+)", text)
    layer = re.match(
        r"(?:a layer )?`(pad|reshape): (.*?)` before it(?:, with (\w+): (\d+) here)?", text
    )
    sizes = re.match(r"an? (?:input|volume) of (\S+)", text)
    own = re.match(r"`?([a-z_]+): (.*?)`?$", text)
    if joined:
        before += [(int(i) - 1, f"{change}: {by}") for change, by, i in joined]
    elif mixed:
        before.append((int(mixed[2]) - 1, f"conv: {{filters: {mixed[1]}, kernel: 1}}"))
    elif layer:
        before.append((0, f"{layer[1]}: {layer[2]}"))
        if layer[3]:
            values[layer[3]] = layer[4]
    elif sizes:
        wanted = [int(n) for n in re.findall(r"\d+", sizes[1])]
        inputs[0][: len(wanted)] = wanted
    elif own and own[1] in REGISTRY and own[1] not in row.layer.fields:
        op, values = own[1], {next(iter(REGISTRY[own[1]].fields)): own[2]}
    elif own:
        for name, value in re.findall(r"([a-z_]+): (\[.*?\](?=, [a-z]|$)|[^,\[]+)", text):
            values[name] = value
    else:
        return
    names = [f"i{i}" for i in range(len(inputs))]
    lines = [f"dialect: {row.dialect.label}", "inputs:"]
    lines += [f"  {n}: {'x'.join(map(str, shape))}" for n, shape in zip(names, inputs, strict=True)]
    lines.append("layers:")
    for i, change in before:
        lines += [f"  - {change}", f"    from: {names[i]}", f"    name: c{i}"]
        names[i] = f"c{i}"
    fields = ", ".join(f"{k}: {_flow(v)}" for k, v in values.items())
    lines += [f"  - {op}: {{{fields}}}", f"    from: [{', '.join(names)}]"]
    yield "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


# --- the campaign -----------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--each", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=10)
    options = parser.parse_args()
    verdicts: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    fixes: Counter[bool] = Counter()
    from cnncalc import bundled

    shown: Counter[tuple[str, str]] = Counter()
    for name in bundled.names():
        if options.only not in name:
            continue
        path = bundled.find(name)
        assert path
        breaker = Breaker(Path(path).read_text("utf-8"), random.Random(f"{options.seed} {name}"))
        seen: set[str] = set()
        for _ in range(options.each):
            mutation = breaker.draw()
            if mutation is None or mutation.text in seen:
                continue
            seen.add(mutation.text)
            verdict, detail = judged(mutation)
            verdicts[verdict] += 1
            kinds[mutation.kind, verdict] += 1
            if verdict not in ("right", "harmless"):
                shown[mutation.kind, verdict] += 1
                if shown[mutation.kind, verdict] <= options.show:
                    changed = mutation.text.splitlines()[mutation.line - 1].strip()
                    print(
                        f"{name}:{mutation.line} {mutation.kind}: {verdict}: `{changed}` {detail}"
                    )
            if verdict == "right" and not mutation.codes:
                report = cnncalc.check(Source(mutation.text, "mutated.yaml"), run=False)
                for good, what in list(remedied(report))[:5]:
                    fixes[good] += 1
                    if not good and fixes[False] <= options.show:
                        print(f"{name}:{mutation.line} no remedy: {what}")
    counted = sum(n for v, n in verdicts.items() if v != "harmless")
    right = verdicts["right"]
    for (kind, verdict), n in sorted(kinds.items()):
        print(f"{kind:10} {verdict:12} {n:,}")
    print(f"{right:,} of {counted:,} right ({right / max(1, counted):.2%}), "
          f"{verdicts['traceback']} tracebacks; "
          f"{fixes[True]:,} of {fixes.total():,} size errors with a remedy")  # fmt: skip
    sys.exit(verdicts["traceback"] > 0 or right < 0.99 * counted or fixes[False] > 0)


if __name__ == "__main__":
    main()
