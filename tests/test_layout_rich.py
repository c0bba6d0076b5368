"""Tables beside Rich, which draws the same ones."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cnncalc.report.layout import Cell, Column, Grid, Paint

WORDS = st.text("abcx0189/. 層é…", max_size=24).map(str.strip)


def by_rich(grid, width):
    """The grid drawn by Rich: columns of the same widths, the same titles and cells."""
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from cnncalc.report.layout import _fit

    rule = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")
    table = Table(box=rule, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    wide = grid.widths(width)
    for column, w in zip(grid.columns, wide, strict=True):
        side = "right" if column.right else "left"
        table.add_column(Text(column.title), justify=side, width=w, no_wrap=True)
    for row in grid.rows:
        cut = zip(row, grid.columns, wide, strict=True)
        table.add_row(*(Text(_fit(c, k, w)) for c, k, w in cut))
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as caught:
        console.print(table)
    return [line.rstrip() for line in caught.get().rstrip("\n").split("\n")]


@given(
    st.lists(st.tuples(WORDS, WORDS, st.integers(0, 10**9)), min_size=1, max_size=6),
    st.integers(60, 110),
)
@settings(max_examples=50, deadline=None)
def test_tables_are_those_of_rich(rows, width):
    columns = (Column("layer", kind="path"), Column("output"), Column("params", right=True))
    grid = Grid(columns, [[Cell(a), Cell(b, "dim"), Cell(f"{n:,}")] for a, b, n in rows])
    assert grid.lines(width, Paint(False)) == by_rich(grid, width)


def test_colours_change_nothing_else():
    import re

    grid = Grid((Column("a"), Column("b", right=True)), [[Cell("x y", "good"), Cell("3", "bad")]])
    colored = grid.lines(40, Paint(True))
    assert "\x1b[32mx y\x1b[0m" in colored[2]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in colored]
    assert plain == grid.lines(40, Paint(False))


def test_a_narrow_terminal_cuts_cells():
    grid = Grid((Column("a", kind="fixed"), Column("b", kind="fixed")), [[Cell("x" * 30)] * 2])
    lines = grid.lines(20, Paint(False))
    assert max(map(len, lines)) <= 20
    assert "…" in lines[2]
