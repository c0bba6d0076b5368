"""Text in columns for terminals and files: widths, wrapping, tables.

Columns are narrowed here, where it is known that a path may be cut in the middle but a
volume never."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

WIDTH = 100  # where the caller does not know
GAP = "  "  # the divider of a Rich table and its padding
MOST_LINES = 4  # of one cell
LONG = 26  # cells of a word that is kept whole
TIE = "\u00a0"
CODES = {
    "bold": "1",
    "dim": "2",
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "good": "32",
    "bad": "1;31",
    "place": "1;34",
}


class Paint:
    """Colours text by the name of a style, or leaves it as it is.

    >>> Paint(False)("bad", "x"), Paint(True)("bad", "x")
    ('x', '\\x1b[1;31mx\\x1b[0m')
    """

    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, style: str, text: str) -> str:
        if not (self.color and style and text.strip()):
            return text
        return f"\x1b[{CODES[style]}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Text without control characters, escape sequences, or direction marks.

    >>> clean("a\\x1b[31mb\\tc")
    'a?[31mb c'
    """
    text = text.replace("\t", " ")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


@lru_cache(maxsize=4096)
def cell(char: str) -> int:
    """Terminal cells of one printable character."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cells(text: str) -> int:
    """Terminal cells that a line takes.

    >>> cells("conv"), cells("層1")
    (4, 3)
    """
    return len(text) if text.isascii() else sum(map(cell, text))


def cut(text: str, width: int) -> str:
    """The beginning of a text, marked where something is left out.

    >>> cut("a long name", 7)
    'a long…'
    """
    return text if cells(text) <= width else first(text, width - 1) + "…"


def first(text: str, room: int) -> str:
    """As much of the beginning as takes no more than `room` cells."""
    for i, char in enumerate(text):
        room -= cell(char)
        if room < 0:
            return text[:i]
    return text


def last(text: str, room: int) -> str:
    """As much of the end as takes no more than `room` cells."""
    return first(text[::-1], room)[::-1]


def cut_path(name: str, width: int) -> str:
    """A path name shortened inside its parts, which keep their numbers, or between them.

    >>> cut_path("4/bottleneck2/add1/1/conv3", 18), cut_path("4/bottleneck2/add1/1/conv3", 14)
    ('4/b…2/a…1/1/conv3', '4/…/1/conv3')
    """
    if cells(name) <= width:
        return name
    *parts, end = name.split("/")
    for short in _shorter(parts, end):
        if cells(short) <= width:
            return short
    head = max(width - 1, 0) // 3
    return f"{first(name, head)}…{last(name, width - 1 - head)}"


def _shorter(parts: Sequence[str], end: str) -> Iterator[str]:
    # The last part names the layer, so that it is shortened after the others.
    for most in range(max(map(len, parts), default=0), 2, -1):
        yield "/".join([*(_squeeze(part, most) for part in parts), end])
    for most in range(len(end), 4, -1) if parts else ():
        yield "/".join([*(_squeeze(part, 3) for part in parts), _squeeze(end, most)])
    for i in range(2, len(parts) + 1):
        yield "/".join([_squeeze(parts[0], 4), "…", *parts[i:], end])


@lru_cache(maxsize=4096)
def _squeeze(part: str, most: int) -> str:
    # At most so many characters where the number at the end lets it; x…1 stays.
    stem = part.rstrip("0123456789") if part[-1:].isdigit() else part[:-1]
    number = part[len(stem) :]
    keep = max(most - 1 - len(number), 1)
    return part if len(part) <= most or keep >= len(stem) - 1 else stem[:keep] + "…" + number


def wrap(text: str, width: int, most: int = 0) -> list[str]:
    """Lines of at most `width` cells, broken at spaces where there are any; `most` lines.

    Spaces that `tie` made are broken at only where nothing else helps.

    >>> wrap("floor(H/2) x floor(W/2) x 64", 14)
    ['floor(H/2) x', 'floor(W/2) x', '64']
    """
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(joined) <= width:
            lines[-1] = joined
            continue
        pieces = _break(word, width)
        lines[-1:] = [*filter(None, lines[-1:]), *pieces]
    if most and len(lines) > most:
        lines[most - 1 :] = [cut(lines[most - 1] + "…" * width, width)]
    return [line.replace(TIE, " ") for line in lines]


def tie(text: str) -> str:
    """Text whose spaces `wrap` breaks last."""
    return text.replace(" ", TIE)


def _break(word: str, width: int) -> list[str]:
    if cells(word) <= width:
        return [word]
    if TIE in word:
        return wrap(word.replace(TIE, " "), width)
    part = first(word, width) or word[0]
    return [part, *_break(word[len(part) :], width)]


def hang(text: str, width: int, head: str, rest: str) -> list[str]:
    """Wrapped lines, the first after `head` and the others after `rest`."""
    more = max(cells(head) - cells(rest), 0)
    lines = wrap("_" * more + text, max(width - cells(rest), 20))
    return [rest + line if i else head + line[more:] for i, line in enumerate(lines)]


class Column(NamedTuple):
    """One column of a grid. `kind`: fixed, path (shortened inside), or text (wrapped)."""

    title: str
    right: bool = False
    kind: str = "text"
    least: int = 12


class Cell(NamedTuple):
    text: str
    style: str = ""


class Grid(NamedTuple):
    """Columns and rows of cells; `lines` is the only place where they are laid out."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def widths(self, width: int) -> list[int]:
        """Cells of each column: as wide as the widest cell, narrowed until all fit."""
        room = width - len(GAP) * (len(self.columns) - 1)
        sizes = [[cells(row[i].text) for row in self.rows] for i in range(len(self.columns))]
        titles = [cells(c.title) for c in self.columns]
        wide = [
            max(title, min(max(size, default=0), room))
            for title, size in zip(titles, sizes, strict=True)
        ]
        for path, word in ((16, LONG), (8, LONG), (8, 0)):
            if sum(wide) <= room:
                break
            low = {
                i: max(titles[i], path if column.kind == "path" else self._least(i, word))
                for i, column in enumerate(self.columns)
                if column.kind != "fixed"
            }
            self._narrow(wide, room, low, sizes)
        return wide

    def _narrow(
        self, wide: list[int], room: int, low: Mapping[int, int], sizes: Sequence[Sequence[int]]
    ) -> None:
        # One cell at a time where it hurts the fewest rows; a wrapped text hurts most.
        weights = [1 if column.kind == "path" else 4 for column in self.columns]
        while sum(wide) > room:
            loose = [i for i, least in low.items() if wide[i] > least]
            if not loose:
                return
            hurt = {i: weights[i] * sum(size >= wide[i] for size in sizes[i]) for i in loose}
            wide[min(loose, key=lambda i: (hurt[i], -wide[i]))] -= 1

    def _least(self, i: int, long: int) -> int:
        # Plain volumes and counts are never wrapped, and words only where they are long.
        texts = [row[i].text for row in self.rows]
        words = (min(cells(word), long) for text in texts for word in text.split(" "))
        plain = (cells(text) for text in texts if _plain(text))
        return max([self.columns[i].least, *words, *plain])

    def lines(self, width: int, paint: Paint) -> list[str]:
        """The grid as text: a line of titles, a rule, the rows. What Rich would draw, drawn
        without it, since its import costs more than most derivations."""
        wide = self.widths(width)
        words = [i for i, column in enumerate(self.columns) if not column.right]
        while sum(wide) + len(GAP) * (len(wide) - 1) > width and any(wide[i] > 3 for i in words):
            # words are cut, and volumes wrapped where nothing else helps; numbers stay whole
            wide[max(words, key=lambda i: (wide[i] > 4 and not self._wraps(i), wide[i]))] -= 1
        head = [Cell(column.title, "bold") for column in self.columns]
        rule = "─" * (sum(wide) + len(GAP) * (len(wide) - 1))
        found = [*self._row(head, wide, paint), rule]
        for row in self.rows:
            found += self._row(row, wide, paint)
        return found

    def _wraps(self, i: int) -> bool:
        return self.columns[i].kind == "text"

    def _row(self, row: Sequence[Cell], wide: Sequence[int], paint: Paint) -> list[str]:
        pieces = []
        for cell, column, room in zip(row, self.columns, wide, strict=True):
            lines = [cell.text] if _fits(cell, room) else [
                cut(x, room) for x in _fit(cell, column, room).split("\n")
            ]  # fmt: skip
            pieces.append([_beside(x, room, column.right, cell.style, paint) for x in lines])
        height = max(map(len, pieces), default=0)
        if height == 1:
            return [GAP.join(piece[0] for piece in pieces).rstrip()]
        blank = [[" " * room] for room in wide]
        rows = (
            [p[i] if i < len(p) else b[0] for p, b in zip(pieces, blank, strict=True)]
            for i in range(height)
        )
        return [GAP.join(parts).rstrip() for parts in rows]


def _fits(cell: Cell, room: int) -> bool:
    """Whether a cell is one line as it is."""
    text = cell.text
    return text.isascii() and len(text) <= room and "\n" not in text and text[:1] != " "


def _beside(text: str, room: int, right: bool, style: str, paint: Paint) -> str:
    """One line of a cell, filled up to its column's width outside the colours."""
    fill = " " * (room - cells(text))
    return fill + paint(style, text) if right else paint(style, text) + fill


def _plain(text: str) -> bool:
    return text.replace(",", "").replace("x", "").lstrip("~").isdigit()


def _fit(cell: Cell, column: Column, width: int) -> str:
    if column.kind == "path":
        return cut_path(cell.text, width)
    if column.kind == "fixed":
        return cut(cell.text, width)
    return "\n".join(wrap(cell.text, width, MOST_LINES)).replace(TIE, " ")
