"""Reports built by hand: every feature that a renderer shows, without deriving anything."""

from typing import Any

from cnncalc.diagnostics import Diagnostic, Span
from cnncalc.dialects import DEFAULT
from cnncalc.formula import Symbol
from cnncalc.layers.base import Layer
from cnncalc.rows import Expectation, Report, Row, RunReport, RunRow, Totals
from cnncalc.source import Source

TEXT = """name: AlexNet, first layers
input: 227x227x3
layers:
  - conv: {filters: 96, kernel: 11, stride: 4}
    name: CONV1
    expect: {output: 55x55x96, params: 34848}
  - relu
  - maxpool: {kernel: 3, stride: 2}
    name: POOL1
  - conv: {filters: 1, kernel: 3, stride: 3}
  - dense: 10
"""
H, W, k = Symbol("H", min=32, max=1024, multiple_of=32), Symbol("W"), Symbol("k")


def make_row(name: str, op: str, output: tuple[Any, ...], **values: Any) -> Row:
    """A row whose other values are those of a layer without weights."""
    row = Row(
        name=name, op=op, layer=Layer(), inputs=("input",), input=((227, 227, 3),), output=output,
        weights={}, buffer_shapes={}, params=0, buffers=0, macs=0, receptive_field=(1, 1),
        jump=(1, 1), windows=(), dialect=DEFAULT,
    )  # fmt: skip
    return row._replace(**values)


def run_row(*output: int, params: int = 0, agrees: bool = True) -> RunRow:
    return RunRow(output, params, agrees)


def make_report(**values: Any) -> Report:
    """A report without layers and problems, some of its values given."""
    report = Report(
        source=Source(TEXT, "specs/alexnet.yaml"), name="AlexNet, first layers", dialect=DEFAULT,
        symbols={}, input_shapes={"input": (227, 227, 3)}, outputs=("dense1",), layers=(),
        totals=Totals(0, 0, 0, 0, 0, 0, 0), expectations=(), diagnostics=(),
    )  # fmt: skip
    return report._replace(**values)


CONV1 = make_row(
    "CONV1", "conv", (55, 55, 96), weights={"kernel": (11, 11, 3, 96), "bias": (96,)},
    params=34944, macs=105415200, receptive_field=(11, 11), jump=(4, 4), span=Span(4, 5, 43),
    run=run_row(55, 55, 96, params=34944),
)  # fmt: skip
ROWS = (
    CONV1,
    make_row("relu1", "relu", (55, 55, 96), run=run_row(55, 55, 96), span=Span(7, 5, 4)),
    make_row("POOL1", "maxpool", (27, 27, 96), run=run_row(26, 26, 96, agrees=False)),
    make_row("conv2", "conv", (9, 9, 1), assumed=True, params=865, macs=69984),
    make_row("4/bottleneck2/add1/1/conv3", "global_avgpool", (10,), buffers=20, assumed=True),
)
GOOD = make_report(
    layers=(CONV1, ROWS[1]),
    totals=Totals(34944, 34944, 0, 105415200, 735387, 3000000, 6000000),
    expectations=(
        Expectation("CONV1", "output", "55x55x96", "55x55x96", "right"),
        Expectation(None, "params", "34944", "34,944", "right"),
    ),
    run=RunReport("agrees", "cpu", 1, "float32", "2 layers", "checked"),
)
MISFIT = Diagnostic(
    "S001", "error", "stride 3 does not fit: (27 - 3 + 2*0)/3 + 1 = 9.0 is not a whole number",
    Span(10, 37, 6), "conv2", ("stride 2 fits (output 13x13)", "pad 1 fits"),
)  # fmt: skip
BAD = make_report(
    layers=ROWS,
    totals=Totals(35809, 35809, 20, 105485184, 735387, 3 << 20, 6 << 20),
    expectations=(
        Expectation("CONV1", "output", "55x55x96", "55x55x96", "right"),
        Expectation("CONV1", "params", "34848", "34944", "wrong", ("the biases are left out",),
                    Span(6, 39, 5)),
        Expectation("POOL1", "output", "what?", "27x27x96", "unreadable", (), Span(8, 1, 2)),
    ),
    diagnostics=(
        Diagnostic("W003", "note", "no activation follows", Span(8, 5), "POOL1"),
        Diagnostic("W003", "note", "no activation follows", Span(10, 5), "conv2"),
        Diagnostic("W001", "warning", "the volume shrinks fast", Span(4, 5, 43), "CONV1"),
        MISFIT,
        Diagnostic("A001", "error", "params 34848 is wrong", Span(6, 39, 5), "CONV1"),
        Diagnostic("B001", "error", "the budget of 5 MACs is exceeded", None),
    ),
    run=RunReport("disagrees", "cpu", 1, "float32", "POOL1: 26x26x96, not 27x27x96"),
)  # fmt: skip
UNREADABLE = make_report(
    source=Source("input: [1,\n", "broken.yaml"), name="", input_shapes={}, totals=None,
    diagnostics=(Diagnostic("E001", "error", "this is not readable YAML", Span(1, 8, 3)),),
)  # fmt: skip
SYMBOLIC = make_report(
    name="any size", symbols={"H": H, "W": W}, input_shapes={"input": (H, W, 3)},
    layers=(
        make_row("conv1", "conv", (H, W, k), params=28 * k, macs=27 * H * W * k),
        make_row("pool1", "maxpool", (H // 2, W // 2, k)),
        make_row("conv2", "conv", ((H - 11) // 7 + 1, (W - 11) // 8 + 1, 64), params=576 * k + 64,
                 macs=64 * 9 * k * ((H - 11) // 7 + 1) * ((W - 11) // 8 + 1)),
    ),
    totals=Totals(604 * k + 64, 604 * k + 64, 0, 27 * H * W * k, H * W * k, 4 * H * W * k, 0),
)  # fmt: skip
