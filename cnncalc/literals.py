"""Volume literals such as `32x32x3` and `HxWxmax_c`, split into their axes.

Nothing is evaluated here: `expr` reads each axis.
"""

from __future__ import annotations

import re

from .expr import _NAME, _NUMBER, FUNCTIONS, MAX_TEXT, ExprError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def split_volume(
    text: str, known: Collection[str] = (), star: bool = True
) -> list[tuple[str, int]] | None:
    """The axes of a volume literal with their offsets; None for blank text.

    `known` names may contain an x.  With `star=False`, for fields that hold an expression or a
    volume, `*` and spaces do not separate axes.

    >>> split_volume("32x32x3"), split_volume("(2*k) x 3")
    ([('32', 0), ('32', 3), ('3', 6)], [('(2*k)', 0), ('3', 8)])
    >>> split_volume("2*k + 1"), split_volume("HxWxmax_c", {"max_c"})
    ([('2*k + 1', 0)], [('H', 0), ('W', 2), ('max_c', 4)])
    """
    if len(text) > MAX_TEXT:
        raise ExprError(f"the volume is longer than {MAX_TEXT:,} characters", MAX_TEXT)
    span = _stripped(text, 0, len(text))
    if span[0] == span[1]:
        return None
    depths = _depths(text)
    inner = _unwrapped(text, span, depths)
    if inner is not None:
        crossed, cuts = _cuts(text, inner, depths, 1, known, star or text[span[0]] == "[")
        if crossed or text[span[0]] == "[" or (cuts and star):
            return _axes(text, inner, cuts)
    return _axes(text, span, _cuts(text, span, depths, 0, known, star)[1])


def looks_like_volume(text: str, known: Collection[str] = ()) -> bool:
    """Whether x, × or commas separate axes, in a field that may hold an expression instead.

    >>> looks_like_volume("5x3"), looks_like_volume("2*k + 1")
    (True, False)
    """
    try:
        axes = split_volume(text, known, star=False)
    except ExprError:
        return True
    return axes is not None and len(axes) > 1


Span = tuple[int, int]


def _stripped(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _depths(text: str) -> list[int]:
    # The number of brackets open around each character, a bracket counting itself.
    depths, depth = [], 0
    for char in text:
        depth += char in "(["
        depths.append(depth)
        depth = max(0, depth - (char in ")]"))
    return depths


def _unwrapped(text: str, span: Span, depths: list[int]) -> Span | None:
    # What is inside one pair of brackets around everything.
    start, end = span
    if text[start] + text[end - 1] not in ("()", "[]"):
        return None
    inside = range(start + 1, end - 1)
    if any(depths[i] < 1 or (depths[i] == 1 and text[i] in "([)]") for i in inside):
        return None
    return _stripped(text, start + 1, end - 1)


def _cuts(
    text: str, span: Span, depths: list[int], level: int, known: Collection[str], star: bool
) -> tuple[bool, list[Span]]:
    # The separators at one level of brackets, and whether they are unmistakable.
    # Characters deeper in brackets are hidden as "\0", so that places stay the same.
    pairs = zip(text[: span[1]], depths, strict=False)
    outer = "".join(char if depth == level else "\0" for char, depth in pairs)
    outer = "\0" * span[0] + outer[span[0] :]
    crosses = _crosses(outer, span, known, star)
    commas = [m.span() for m in re.finditer(",", outer)]
    if crosses and commas:
        raise ExprError("both 'x' and ',' separate the sizes", commas[0][0])
    if crosses or commas:
        return True, crosses or commas
    return False, _loose_cuts(outer, span) if star else []


def _crosses(outer: str, span: Span, known: Collection[str], star: bool) -> list[Span]:
    cuts = [m.span() for m in re.finditer("×", outer)]
    words = list(_WORD.finditer(outer, *span))
    cuts += [m.span() for m in words if m[0] in ("x", "X") and _between(outer, span, m, known)]
    alone = star and not cuts
    for match in words:
        if len(match[0]) > 1 and match[0] not in known:
            before, after = _neighbours(outer, span, match)
            opens = before == "\0" or (before.isalnum() and match[0][1].isdigit())
            pieces = _segment(match[0], known, opens, after == "\0")
            if pieces is not None and _convincing(pieces, known, alone):
                cuts += _joints(pieces, match.start())
    return sorted(cuts)


def _neighbours(outer: str, span: Span, match: re.Match[str]) -> tuple[str, str]:
    before = outer[span[0] : match.start()].rstrip()
    after = outer[match.end() : span[1]].lstrip()
    return before[-1:], after[:1]


def _between(outer: str, span: Span, match: re.Match[str], known: Collection[str]) -> bool:
    # A lone x is a separator after something, and a name after an operator or nothing.
    before, after = _neighbours(outer, span, match)
    operand = before.isalnum() or before in ("_", "\0")
    return bool(before) and operand and (bool(after) or match[0] not in known)


_WORD = re.compile(r"[A-Za-z0-9_.]+")


def _segment(
    word: str, known: Collection[str], open_start: bool, open_end: bool
) -> list[str] | None:
    # The cheapest way to cut a word at its x's into numbers, known names and names without x;
    # after ')' it may begin, and before '(' end, with the x.
    names = [*known, *FUNCTIONS] if open_end else known
    ends = [i for i, char in enumerate(word) if char in "xX"] + [len(word)]
    best: dict[int, tuple[int, list[str]]] = {0: (0, [])}
    for end in ends:
        for start in sorted(best):
            piece = word[start:end]
            gap = word[0].isdigit() or (open_start if start == 0 else open_end and end == len(word))
            cost = _piece_cost(piece, names, gap)
            if start > end or cost is None:
                continue
            total = best[start][0] + cost
            at = end + 1
            if at not in best or total < best[at][0]:
                best[at] = (total, [*best[start][1], piece])
    found = best.get(len(word) + 1)
    return found[1] if found and len(found[1]) > 1 else None


def _piece_cost(piece: str, names: Collection[str], gap: bool) -> int | None:
    # A word that starts with a digit is no name, so even an empty piece is a missing size.
    if piece in names or _NUMBER.fullmatch(piece):
        return 0
    if not piece:
        return 0 if gap else None
    plain = _NAME.fullmatch(piece) and not set(piece) & {"x", "X"}
    return 1 if plain else None


def _convincing(pieces: list[str], known: Collection[str], alone: bool) -> bool:
    # A word of unknown names only, as "context", is cut only where it is the whole volume.
    return alone or any(not p or p in known or p[0].isdigit() for p in pieces)


def _joints(pieces: list[str], at: int) -> list[Span]:
    cuts = []
    for piece in pieces[:-1]:
        at += len(piece)
        cuts.append((at, at + 1))
        at += 1
    return cuts


def _loose_cuts(outer: str, span: Span) -> list[Span]:
    # "32*32*3" and "32 32 3"; anything with another operator is one expression.
    if re.search(r"\*\*|[-+/%^−]", outer):
        return []
    call = re.compile(r"[A-Za-z0-9_]\s*\0").search(outer, *span) is not None
    stars = [m.span() for m in re.compile(r"[*·]").finditer(outer, *span)]
    if stars:
        return [] if call else stars
    gaps = re.compile(r"\s+").finditer(outer, *span)
    return [m.span() for m in gaps if not _calls(outer, m)]


def _calls(outer: str, gap: re.Match[str]) -> bool:
    # The space in "floor (H/2)", a name followed by a bracket.
    word = re.search(r"[A-Za-z]\w*$", outer[: gap.start()])
    return word is not None and word[0] in FUNCTIONS and outer[gap.end()] == "\0"


def _axes(text: str, span: Span, cuts: list[Span]) -> list[tuple[str, int]]:
    axes: list[tuple[str, int]] = []
    begins = [span[0], *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), span[1]]
    for begin, end in zip(begins, ends, strict=True):
        start, stop = _stripped(text, begin, end)
        if start == stop and axes and end == span[1] and text[begin - 1] == ",":
            break  # a trailing comma, as in (32,)
        if start == stop:
            raise ExprError("a size is missing", start)
        axes.append((text[start:stop], start))
    return axes
