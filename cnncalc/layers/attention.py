"""Attention: every token reads all others, weighted by how well query and key agree."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..formula import Number, compare
from .base import (
    Choice,
    Count,
    Dialect,
    Fix,
    Flag,
    Layer,
    Misfit,
    PerAxis,
    Rational,
    Reach,
    Run,
    Shape,
    Shapes,
    Sizes,
    axes,
    divides,
    product,
)
from .reshape import volume_text

if TYPE_CHECKING:
    from ..execute import Pass

Widths = tuple[Any, Any, Any]  # of queries and of keys, of values (all heads), of the output


class Attention(Layer, op="attention"):
    """Multi-head attention: softmax(q·k/sqrt(d))·v of every head, side by side, projected.

    Tokens TxC become queries, keys and values of `heads` heads by three linear maps; `dim`
    is the width of all heads together, C unless given, or `key_dim` and `value_dim` those of
    one head. `units` outputs, C unless given, are made by one more linear map, which
    `project: false` leaves out. `from: [A, B]` takes the queries from A, keys and values
    from B; a third input gives the values alone (Vaswani 2017; torch.nn.MultiheadAttention,
    keras.layers.MultiHeadAttention).

    Axes before the last two are windows, as `window_partition` makes them, and each is a
    sequence of its own. `relative_bias: table` adds to each score a trained number for the
    distance between the two places in the `window`; `continuous` has these numbers made by a
    small network of `hidden` units from logarithmic distances, 16·sigmoid of it. `shift`
    hides from each other the tokens that a roll by -shift has brought together. `cosine`
    scores by the angle times exp(logit_scale), at most 100, with keys free of a bias
    (Liu 2021 and 2022, Swin). `causal` hides later tokens. Scores are divided by the root of
    `scale_dim`, the width of one head unless given. `dropout` acts in training only.

    qkv (C, 3·dim), or query, key and value where there are several inputs or `fused: false`;
    output (dim, units); relative (distances, heads).

    >>> from cnncalc.dialects import DEFAULT
    >>> Attention(12).weights([(197, 768)], DEFAULT)["qkv"]
    (768, 2304)
    """

    heads: Any = Count()
    dim: Any = Count(default=None)
    key_dim: Any = Count(default=None)
    value_dim: Any = Count(default=None)
    units: Any = Count(default=None)
    bias: Any = Flag(default=True)
    output_bias: Any = Flag(default=None)
    project: Any = Flag(default=True)
    fused: Any = Flag(default=None)
    causal: Any = Flag(default=False)
    relative_bias: Any = Choice(("table", "continuous"), default=None)
    window: Any = PerAxis(default=None)
    shift: Any = PerAxis(default=0, minimum=0)
    cosine: Any = Flag(default=False)
    scale_dim: Any = Count(default=None)
    hidden: Any = Count(default=512)
    dropout: Any = Rational(default=0, low=0, below=1)

    inputs_max = 3
    nonlinear = True
    examples = (
        ("5x8", {"heads": 2}),
        ("5x6", {"heads": 3, "dim": 12, "fused": False, "causal": True, "units": 4}),
        ("4x6", {"heads": 2, "key_dim": 2, "value_dim": 5, "bias": False, "project": False}),
        (["5x6", "7x4"], {"heads": 2}),
        (["2x5x6", "2x7x4", "2x7x3"], {"heads": 2, "output_bias": False}),
        ("2x3x4x6", {"heads": 2, "window": 2, "relative_bias": "table", "shift": 1}),
        (
            "2x2x6x4",
            {"heads": 2, "window": "3x2", "relative_bias": "continuous", "shift": [1, 0],
             "cosine": True, "hidden": 5},
        ),
        ("3x4x6", {"heads": 2, "window": "2x2", "relative_bias": "table", "scale_dim": 6}),
    )  # fmt: skip

    # --- sizes -----------------------------------------------------------------

    def _three(self, inputs: Shapes) -> tuple[Shape, Shape, Shape]:
        """The volumes that queries, keys and values are made of."""
        found = [shape if len(shape) > 1 else (1, *shape) for shape in inputs]
        return found[0], found[min(1, len(found) - 1)], found[-1]

    def _widths(self, inputs: Shapes) -> Widths:
        dim = inputs[0][-1] if self.dim is None else self.dim
        keys = dim if self.key_dim is None else self.heads * self.key_dim
        values = keys if self.dim is None and self.key_dim is not None else dim
        if self.value_dim is not None:
            values = self.heads * self.value_dim
        units = inputs[0][-1] if self.units is None else self.units
        return keys, values, units if self.project else values

    def _fused(self, inputs: Shapes) -> bool:
        return len(inputs) == 1 and self.fused is not False

    def window_of(self, shape: Shape) -> tuple[Any, ...]:
        """The sizes of the window; one number serves as many axes as there are of windows."""
        return axes(self.window, max(1, len(shape) - 2))

    def windows_of(self, shape: Shape) -> tuple[Any, ...]:
        return self.window if isinstance(self.window, tuple) else self.window_of(shape)

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        queries = self._three(inputs)[0]
        return (*queries[:-1], self._widths(inputs)[2])

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        keys, values, units = self._widths(inputs)
        channels = [shape[-1] for shape in self._three(inputs)]
        found: dict[str, Shape] = {}
        if self._fused(inputs):
            found["qkv"] = (channels[0], keys + keys + values)
            if self.bias:
                found["qkv_bias"] = (keys + keys + values,)
        else:
            widths = {"query": keys, "key": keys, "value": values}
            for (name, width), c in zip(widths.items(), channels, strict=True):
                found[name] = (c, width)
                if self.bias and not (self.cosine and name == "key"):
                    found[f"{name}_bias"] = (width,)
        if self.project:
            found["output"] = (values, units)
            if self.bias if self.output_bias is None else self.output_bias:
                found["output_bias"] = (units,)
        return found | self._relative(inputs)

    def _relative(self, inputs: Shapes) -> dict[str, Shape]:
        found: dict[str, Shape] = {"logit_scale": (self.heads,)} if self.cosine else {}
        if self.relative_bias is None or self.window is None:
            return found
        window = self.windows_of(inputs[0])
        if self.relative_bias == "table":
            distances = product([w + w - 1 for w in window])
            return found | {"relative": (distances, self.heads)}
        return found | {
            "relative_hidden": (len(window), self.hidden),
            "relative_hidden_bias": (self.hidden,),
            "relative_output": (self.hidden, self.heads),
        }

    def macs(self, inputs: Shapes, output: Shape, dialect: Dialect) -> Number:
        """Of the linear maps, and of both products with every pair of a query and a key."""
        q, k, v = self._three(inputs)
        keys, values, units = self._widths(inputs)
        total: Number = product((*q, keys)) + product((*k, keys)) + product((*v, values))
        pairs = product((*q[:-1], k[-2]))
        total = total + pairs * (keys + values)
        if self.project:
            total = total + product((*q[:-1], values, units))
        if self.relative_bias == "continuous" and self.window is not None:
            window = self.windows_of(inputs[0])
            places = product([w + w - 1 for w in window])
            total = total + places * self.hidden * (len(window) + self.heads)
        return total

    def reach(self, inputs: Shapes, dialect: Dialect) -> tuple[Reach, ...] | None:
        """Every token reads its whole sequence."""
        *windows, tokens, _ = self._three(inputs)[1]
        return (*(Reach(0, 1) for _ in windows), Reach(tokens - 1, 1))

    # --- what does not fit -------------------------------------------------------

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        flat = next((s for s in inputs if len(s) < 2), None)
        if flat is not None:
            text = f"attention needs tokens TxC, but its input is a flat vector of {flat[0]}"
            yield Misfit("S008", text)
            return
        yield from self._uneven_heads(inputs)
        yield from self._sequences(inputs)
        if len(inputs) > 1 and self.fused:
            text = "one fused qkv map reads one input, this attention has several"
            yield Misfit("S003", text, "fused", (Fix("fused: false", {"fused": False}),))
        yield from self._window_misfits(inputs[0])

    def _uneven_heads(self, inputs: Shapes) -> Iterator[Misfit]:
        dim = inputs[0][-1] if self.dim is None else self.dim
        if self.key_dim is not None and (self.value_dim is not None or self.dim is None):
            return
        if divides(dim, self.heads) is False:
            text = f"{self.heads} heads do not divide the dimension {dim}"
            fixes: tuple[Fix, ...] = ()
            if isinstance(dim, int) and isinstance(self.heads, int):
                near = (dim - dim % self.heads, dim + -dim % self.heads)
                fixes = tuple(Fix(f"dim: {d}", {"dim": d}) for d in near if d > 0)
            yield Misfit("S004", text, "heads", fixes)

    def _sequences(self, inputs: Shapes) -> Iterator[Misfit]:
        q, k, v = self._three(inputs)
        several = "and".join(f" {volume_text(s)} " for s in inputs).strip()
        if len(q) != len(k) or any(
            compare(a, b) in (-1, 1) for a, b in zip(q, k[:-2], strict=False)
        ):
            yield Misfit("S003", f"the axes before tokens and channels differ ({several})")
        elif len(k) != len(v) or any(
            compare(a, b) in (-1, 1) for a, b in zip(k[:-1], v, strict=False)
        ):
            yield Misfit("S003", f"there must be as many values as keys ({several})")
        if self.causal and compare(q[-2], k[-2]) in (-1, 1):
            text = f"causal attention of {q[-2]} queries to {k[-2]} keys ({several})"
            yield Misfit("S003", text, "causal", (Fix("causal: false", {"causal": False}),))

    def _window_misfits(self, shape: Shape) -> Iterator[Misfit]:
        shifted = any(compare(s, 0) == 1 for s in axes(self.shift, 1)) or (
            isinstance(self.shift, tuple) and any(compare(s, 0) == 1 for s in self.shift)
        )
        if self.window is None:
            if self.relative_bias is not None or shifted:
                what = "shift" if shifted else "relative_bias"
                text = f"{what} needs the window whose positions the tokens are"
                side = _root(shape[-2])
                fixes = (Fix(f"window: {side}x{side}", {"window": (side, side)}),) if side else ()
                yield Misfit("S008", text, what, fixes)
            return
        window = self.windows_of(shape)
        if compare(product(window), shape[-2]) in (-1, 1):
            text = f"a window of {volume_text(window)} has {product(window)} positions"
            text += f", but the input has {shape[-2]} tokens"
            side = _root(shape[-2])
            fixes = (Fix(f"window: {side}x{side}", {"window": (side, side)}),) if side else ()
            yield Misfit("S007", text, "window", fixes)
        elif shifted and len(shape) - 2 != len(window):
            text = f"shift needs one axis of windows for each axis of the {volume_text(window)}"
            text += f" window, but the input is {volume_text(shape)}"
            yield Misfit("S008", text, "shift", (Fix("shift: 0", {"shift": 0}),))
        elif isinstance(self.shift, tuple) and len(self.shift) != len(window):
            text = f"shift lists {len(self.shift)} axes, but the window has {len(window)}"
            yield Misfit("S008", text, "shift")

    # --- runs --------------------------------------------------------------------

    def held(self, inputs: Sizes, output: tuple[int, ...]) -> float:
        """Queries, keys and values, the weights and their exponentials, the sums before and
        after the last map; three volumes a normalisation more where they are cosines."""
        queries, others, _ = self._three(inputs)
        keys, values, units = self._widths(inputs)
        q, k = prod(queries[:-1]), prod(others[:-1])
        pairs = q * int(self.heads) * (prod(others[-2:-1]) + 1)
        found = (q + k) * keys + (q + k) * values + q * units + 2 * pairs
        found += 4 * (q + k) * keys * bool(self.cosine) + pairs * bool(self.dropout)
        return float(found)

    def forward(self, run: "Pass", *xs: Any) -> Any:
        from . import _agseq

        return _agseq.attention(self, run, *xs)

    def reference(self, run: Run, *xs: Any) -> Any:
        from . import _laxseq

        return _laxseq.attention(self, run, *xs)


def _differ(a: Shape, b: Shape) -> bool:
    return any(compare(n, m) in (-1, 1) for n, m in zip(a, b, strict=True))


def _root(n: Number) -> int:
    """The whole square root, or 0 where there is none."""
    side = round(n**0.5) if isinstance(n, int) else 0
    return side if side * side == n else 0
