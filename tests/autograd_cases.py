"""The table of what is differentiated: one row a function, beside what others say it is.

A row gives our function, the same written in jax.numpy or lax and in torch, both sharing
nothing with ours, the shapes of its arguments, and the names of the primitives whose
gradients it reaches. All array arguments are drawn apart from each other and from 0 where
`apart` says so, for functions with kinks.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnncalc import autograd as ag
from cnncalc.autograd.shapes import scatter


@dataclass(frozen=True)
class Case:
    name: str
    ours: Callable[..., Any]
    jax: Callable[..., Any]
    torch: Callable[..., Any] | None
    shapes: tuple[tuple[int, ...], ...]
    reaches: tuple[str, ...]
    positive: bool = False  # arguments of a logarithm or a root
    apart: bool = False  # kinks: entries differ by much more than a finite difference
    symbolic: bool = True

    def arguments(self, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, *map(ord, self.name)])
        if self.apart:
            count = sum(int(np.prod(s)) for s in self.shapes)
            flat = (rng.permutation(count) - count // 2 + 0.5) * 0.3
            parts = np.split(flat, np.cumsum([int(np.prod(s)) for s in self.shapes])[:-1])
            return [p.reshape(s) for p, s in zip(parts, self.shapes, strict=True)]
        if self.positive:
            return [rng.uniform(0.5, 2, s) for s in self.shapes]
        return [rng.standard_normal(s) for s in self.shapes]


def jnp() -> Any:
    import jax.numpy

    return jax.numpy


def torch_() -> Any:
    import torch

    return torch


# --- windows as lax and torch have them ---------------------------------------------------


def lax_conv(x: Any, w: Any, stride=1, pad=0, dilation=1, groups=1) -> Any:
    from jax import lax

    rank = x.ndim - 2
    axes = "DHW"[3 - rank :]
    return lax.conv_general_dilated(
        x, w, each(stride, rank), pairs(pad, rank), rhs_dilation=each(dilation, rank),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"), feature_group_count=groups,
    )  # fmt: skip


def torch_conv(x: Any, w: Any, stride=1, pad=0, dilation=1, groups=1) -> Any:
    rank = x.ndim - 2
    x = torch_padded(x.movedim(-1, 1), pairs(pad, rank))
    w = w.movedim((-1, -2), (0, 1))
    conv = getattr(torch_().nn.functional, f"conv{rank}d")
    y = conv(x, w, stride=each(stride, rank), dilation=each(dilation, rank), groups=groups)
    return y.movedim(1, -1)


def torch_padded(x: Any, pads: Any, value: float = 0.0) -> Any:
    flat = [p for pair in reversed(pads) for p in pair]
    return torch_().nn.functional.pad(x, flat, value=value)


def lax_conv_transpose(x, w, stride=1, pad=0, output_pad=0, dilation=1, groups=1) -> Any:
    """From the definition: the linear transpose of lax's convolution, taken by jax."""
    import jax

    rank = x.ndim - 2
    kernel, a, b = w.shape[:-2], w.shape[-2], w.shape[-1] // groups
    turned = w.reshape(*kernel, a, groups, b)
    turned = jnp().moveaxis(turned, (-3, -1), (-1, -3)).reshape(*kernel, b, groups * a)
    pads = [(p, q - e) for (p, q), e in zip(pairs(pad, rank), each(output_pad, rank), strict=True)]
    sizes = [
        (n - 1) * s - p - q + d * (k - 1) + 1
        for n, k, s, (p, q), d in zip(
            x.shape[1:-1], kernel, each(stride, rank), pads, each(dilation, rank), strict=True
        )
    ]
    like = jax.ShapeDtypeStruct((x.shape[0], *sizes, w.shape[-1]), x.dtype)

    def down(y: Any) -> Any:
        return lax_conv(y, turned, stride, pads, dilation, groups)

    return jax.linear_transpose(down, like)(x)[0]


def torch_conv_transpose(x, w, stride=1, pad=0, output_pad=0, dilation=1, groups=1) -> Any:
    rank = x.ndim - 2
    kernel, a, b = w.shape[:-2], w.shape[-2], w.shape[-1] // groups
    turned = w.reshape(*kernel, a, groups, b).movedim(-2, -3)  # kernel, groups, a, b
    turned = turned.reshape(*kernel, groups * a, b).movedim((-2, -1), (0, 1)).contiguous()
    function = getattr(torch_().nn.functional, f"conv_transpose{rank}d")
    return function(
        x.movedim(-1, 1), turned, stride=stride, padding=pad, output_padding=output_pad,
        groups=groups, dilation=dilation,
    ).movedim(1, -1)  # fmt: skip


def lax_max_pool(x: Any, kernel, stride=None, pad=0, dilation=1) -> Any:
    from jax import lax

    rank = x.ndim - 2
    if dilation != 1:  # lax has no gradient for it: the maximum of the windows' entries
        return jnp().max(windows(x, kernel, stride, pad, dilation, -jnp().inf), axis=0)
    return lax.reduce_window(
        x, -jnp().inf, lax.max, (1, *each(kernel, rank), 1),
        (1, *each(kernel if stride is None else stride, rank), 1),
        ((0, 0), *pairs(pad, rank), (0, 0)), window_dilation=(1, *each(dilation, rank), 1),
    )  # fmt: skip


def windows(x: Any, kernel, stride, pad, dilation, value) -> Any:
    """The entries of every window of a picture, one array a kernel position (2 axes only)."""
    x = jnp().pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)], constant_values=value)
    rows, columns = ((n - dilation * (kernel - 1) - 1) // stride + 1 for n in x.shape[1:3])
    parts = []
    for i, k in itertools.product(range(0, kernel * dilation, dilation), repeat=2):
        part = x[:, i : i + stride * (rows - 1) + 1 : stride]
        parts.append(part[:, :, k : k + stride * (columns - 1) + 1 : stride])
    return jnp().stack(parts)


def torch_max_pool(x: Any, kernel, stride=None, pad=0, dilation=1) -> Any:
    rank = x.ndim - 2
    x = torch_padded(x.movedim(-1, 1), pairs(pad, rank), -float("inf"))
    pool = getattr(torch_().nn.functional, f"max_pool{rank}d")
    return pool(x, kernel, stride, dilation=dilation).movedim(1, -1)


def torch_ceil_max(x: Any, kernel, stride, pad) -> Any:
    pool = torch_().nn.functional.max_pool2d
    return pool(x.movedim(-1, 1), kernel, stride, pad, ceil_mode=True).movedim(1, -1)


def torch_ceil_avg(x: Any, kernel, stride, pad, counted: bool) -> Any:
    pool = torch_().nn.functional.avg_pool2d
    found = pool(x.movedim(-1, 1), kernel, stride, pad, ceil_mode=True, count_include_pad=counted)
    return found.movedim(1, -1)


def lax_avg_pool(x: Any, kernel, stride=None, pad=0, dilation=1, counted=None) -> Any:
    """`counted`: pads (pairs) that count as entries; all of `pad` by default."""
    from jax import lax

    rank = x.ndim - 2
    pads = pairs(pad, rank)
    window = (1, *each(kernel, rank), 1)
    strides = (1, *each(kernel if stride is None else stride, rank), 1)

    def total(v: Any, around: Any) -> Any:
        return lax.reduce_window(
            v, 0.0, lax.add, window, strides, ((0, 0), *around, (0, 0)),
            window_dilation=(1, *each(dilation, rank), 1),
        )  # fmt: skip

    within = pads if counted is None else pairs(counted, rank)
    ones = jnp().ones((1, *x.shape[1:-1], 1), x.dtype)
    ones = jnp().pad(ones, [(0, 0), *within, (0, 0)], constant_values=1)
    rest = [(b - c, a - e) for (b, a), (c, e) in zip(pads, within, strict=True)]
    return total(x, pads) / total(ones, rest)


def torch_avg_pool(x: Any, kernel, stride=None, pad=0, counted: bool = True) -> Any:
    rank = x.ndim - 2
    pool = getattr(torch_().nn.functional, f"avg_pool{rank}d")
    found = pool(x.movedim(-1, 1), kernel, stride, pad, count_include_pad=counted)
    return found.movedim(1, -1)


def each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def pairs(pad: Any, rank: int) -> tuple[tuple[int, int], ...]:
    found = (pad,) * rank if isinstance(pad, int) else pad
    return tuple((p, p) if isinstance(p, int) else tuple(p) for p in found)


# --- rows ---------------------------------------------------------------------------------


def entrywise(name: str, jax_name: str = "", torch_name: str = "", **kw: Any) -> Case:
    def jax_function(x: Any) -> Any:
        import jax

        where = {"erf": jax.scipy.special, "relu": jax.nn, "sigmoid": jax.nn}
        return getattr(where.get(name, jnp()), jax_name or name)(x)

    return Case(
        name, getattr(ag, name), jax_function,
        lambda x: getattr(torch_(), torch_name or name)(x), ((2, 3),), (name,), **kw,
    )  # fmt: skip


def binary(name: str, symbol: Callable[..., Any], **kw: Any) -> list[Case]:
    """With equal shapes, broadcasting both ways, a scalar and one argument twice."""

    def plain(x: Any, y: Any) -> Any:
        return symbol(x, y)

    ours = getattr(ag, name)
    shapes = {"": ((2, 3), (2, 3)), " broadcast": ((2, 1, 3), (4, 1)), " scalar": ((), (3,))}
    rows = [Case(name + k, ours, plain, plain, s, (name,), **kw) for k, s in shapes.items()]
    if name not in ("maximum", "minimum"):

        def twice(x: Any) -> Any:
            return symbol(x, x * x)

        rows.append(Case(f"{name} fan-out", lambda x: ours(x, x * x), twice, twice, ((3,),),
                         (name,), **kw))  # fmt: skip
    return rows


def elementary() -> list[Case]:
    j = jnp
    yes = np.array([[True, False, True], [False, True, False]])
    return [
        *binary("add", lambda x, y: x + y),
        *binary("subtract", lambda x, y: x - y),
        *binary("multiply", lambda x, y: x * y),
        *binary("divide", lambda x, y: x / y, positive=True),
        *binary("power", lambda x, y: x**y, positive=True),
        *binary("maximum", lambda x, y: larger(x, y), apart=True),
        *binary("minimum", lambda x, y: -larger(-x, -y), apart=True),
        entrywise("negative"), entrywise("exp"), entrywise("tanh"), entrywise("sigmoid"),
        entrywise("erf"), entrywise("log", positive=True), entrywise("sqrt", positive=True),
        entrywise("abs", apart=True), entrywise("relu", apart=True),
        Case("power of a number", lambda x: x**3, lambda x: x**3, lambda x: x**3, ((4,),),
             ("power",)),
        Case("power of zero", lambda x: x**0 + x, lambda x: x**0 + x, lambda x: x**0 + x, ((4,),),
             ("add",)),
        Case("number to the power", lambda x: 2**x, lambda x: 2**x, lambda x: 2**x, ((4,),),
             ("power",)),
        Case("where", lambda x, y: ag.where(yes, x, y), lambda x, y: j().where(yes, x, y),
             lambda x, y: torch_().where(torch_().tensor(yes), x, y), ((2, 3), (3,)), ("where",)),
        Case("astype", lambda x: ag.astype(x * x, x.dtype), lambda x: x * x, lambda x: x * x,
             ((3,),), ("astype",), symbolic=False),
    ]  # fmt: skip


def larger(x: Any, y: Any) -> Any:
    if "torch" in type(x).__module__:
        return torch_().maximum(x, y)
    return jnp().maximum(x, y)


def arranged() -> list[Case]:
    j = jnp
    order = np.array([2, 0, 2, 1])
    mask = np.array([True, False, True])

    def reduced(name: str, torch_name: str, **kw: Any) -> list[Case]:
        ours = getattr(ag, name)
        rows = []
        for axis, keep in [(None, False), (1, False), (-1, True), ((0, 2), False), ((0, 2), True)]:
            rows.append(
                Case(
                    f"{name} {axis}{' keepdims' * keep}",
                    lambda x, axis=axis, keep=keep: ours(x, axis=axis, keepdims=keep),
                    lambda x, axis=axis, keep=keep: getattr(j(), name)(x, axis=axis, keepdims=keep),
                    lambda x, axis=axis, keep=keep: getattr(torch_(), torch_name)(
                        x, (0, 1, 2) if axis is None else axis, keepdim=keep
                    ),
                    ((2, 3, 2),),
                    ("max",) if name == "max" else ("sum",),
                    **kw,
                )
            )
        return rows

    def soft(name: str) -> list[Case]:
        def of_jax(x: Any, axis: int) -> Any:
            import jax

            return getattr(jax.nn, name)(x, axis=axis)

        return [
            Case(f"{name} {axis}", lambda x, axis=axis: getattr(ag, name)(x, axis=axis),
                 lambda x, axis=axis: of_jax(x, axis),
                 lambda x, axis=axis: getattr(torch_(), name)(x, axis), ((2, 3),),
                 ("exp", "log") if name == "logsumexp" else ("exp", "log", "subtract"))
            for axis in (0, -1)
        ]  # fmt: skip

    return [
        *reduced("sum", "sum"), *reduced("mean", "mean"), *reduced("max", "amax", apart=True),
        *soft("softmax"), *soft("log_softmax"), *soft("logsumexp"),
        Case("reshape", lambda x: ag.reshape(x, (3, -1))[1:], lambda x: x.reshape(3, -1)[1:],
             lambda x: x.reshape(3, -1)[1:], ((2, 6),), ("reshape",)),
        Case("transpose", lambda x: ag.transpose(x, (2, 0, 1)),
             lambda x: j().transpose(x, (2, 0, 1)), lambda x: x.permute(2, 0, 1), ((2, 3, 2),),
             ("transpose",)),
        Case("transpose all", lambda x: x.T, lambda x: x.T, lambda x: x.T, ((2, 3),),
             ("transpose",)),
        Case("broadcast_to", lambda x: ag.broadcast_to(x, (4, 2, 3)),
             lambda x: j().broadcast_to(x, (4, 2, 3)), lambda x: x.expand(4, 2, 3), ((2, 1),),
             ("broadcast_to",)),
        Case("pad", lambda x: ag.pad(x, [(1, 2), (0, 1)]),
             lambda x: j().pad(x, [(1, 2), (0, 1)]),
             lambda x: torch_padded(x, [(1, 2), (0, 1)]), ((2, 3),), ("pad",)),
        Case("pad negative", lambda x: ag.pad(x, [(-1, 2), (1, -2)]),
             lambda x: j().pad(x[1:, :-2], [(0, 2), (1, 0)]),
             lambda x: torch_padded(x, [(-1, 2), (1, -2)]), ((3, 4),), ("pad",)),
        Case("concatenate", lambda *xs: ag.concatenate(*xs, axis=-1),
             lambda *xs: j().concatenate(xs, axis=-1), lambda *xs: torch_().cat(xs, -1),
             ((2, 1), (2, 3), (2, 2)), ("concatenate",)),
        Case("stack", lambda *xs: ag.stack(xs, axis=1), lambda *xs: j().stack(xs, axis=1),
             lambda *xs: torch_().stack(xs, 1), ((2, 3), (2, 3)), ("concatenate", "reshape")),
        Case("slice", lambda x: x[1:, ::-2, None], lambda x: x[1:, ::-2, None],
             lambda x: x[1:].flip(1)[:, ::2, None], ((3, 4),), ("getitem",)),
        Case("number index", lambda x: x[-1, ..., 0], lambda x: x[-1, ..., 0],
             lambda x: x[-1, ..., 0], ((2, 3, 2),), ("getitem",)),
        Case("gather with repeats", lambda x: ag.take(x, order, axis=1),
             lambda x: j().take(x, order, axis=1), lambda x: x[:, torch_().tensor(order)],
             ((2, 3),), ("getitem",)),
        Case("mask index", lambda x: x[mask], lambda x: x[mask], lambda x: x[torch_().tensor(mask)],
             ((3, 2),), ("getitem",)),
        Case("scatter", lambda g: scatter(g, (3, 2), (order,)),
             lambda g: j().zeros((3, 2), g.dtype).at[order].add(g),
             lambda g: torch_().zeros(3, 2, dtype=g.dtype).index_add(0, torch_().tensor(order), g),
             ((4, 2),), ("scatter",)),
    ]  # fmt: skip


def products() -> list[Case]:
    shapes = [
        ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 2, 3), (3, 2)),
        ((2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)), ((2, 2, 3), (3,)),
    ]  # fmt: skip
    rows = [
        Case(f"matmul {x} {y}", ag.matmul, lambda x, y: x @ y, lambda x, y: x @ y, (x, y),
             ("matmul",))
        for x, y in shapes
    ]  # fmt: skip
    sums = {
        "ij,jk->ik": ((2, 3), (3, 2)),
        "bhqd,bhkd->bhqk": ((1, 2, 2, 3), (1, 2, 3, 3)),
        "ij,ij->": ((2, 3), (2, 3)),
        "ij->ji": ((2, 3),),
        "ijk->i": ((2, 3, 2),),
        "i,j,k->kij": ((2,), (3,), (2,)),
        "ij,k->i": ((2, 3), (2,)),
    }
    for spec, of in sums.items():
        rows.append(
            Case(f"einsum {spec}", lambda *xs, spec=spec: ag.einsum(spec, *xs),
                 lambda *xs, spec=spec: jnp().einsum(spec, *xs),
                 lambda *xs, spec=spec: torch_().einsum(spec, *xs), of, ("einsum",))
        )  # fmt: skip
    return rows


def convolutions() -> list[Case]:
    fields: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("", (1, 4, 4, 2), (3, 3, 2, 2), {}),
        ("1x1", (2, 3, 3, 2), (1, 1, 2, 3), {}),
        ("1d", (2, 7, 2), (3, 2, 2), {"stride": 2, "pad": 1}),
        ("3d", (1, 3, 3, 4, 1), (2, 2, 2, 1, 2), {"stride": (1, 2, 1), "pad": ((0, 1), 0, 1)}),
        ("same", (1, 4, 3, 2), (3, 3, 2, 2), {"pad": 1}),
        ("stride", (1, 6, 5, 1), (3, 3, 1, 2), {"stride": 2}),
        ("stride leaves a rest", (1, 6, 6, 1), (2, 2, 1, 1), {"stride": 3}),
        ("stride over kernel", (1, 7, 7, 1), (2, 1, 1, 2), {"stride": (3, 2), "pad": 1}),
        ("asymmetric pad", (1, 4, 4, 1), (3, 2, 1, 2), {"pad": ((0, 2), (1, 0)), "stride": 2}),
        ("pad over kernel", (1, 3, 3, 1), (2, 2, 1, 1), {"pad": 3}),
        ("negative pad", (1, 5, 5, 1), (2, 2, 1, 2), {"pad": ((-1, 0), (0, -1))}),
        ("dilated", (1, 6, 6, 1), (3, 2, 1, 2), {"dilation": 2, "pad": 1}),
        ("dilated strided", (1, 8, 7, 1), (3, 2, 1, 1), {"dilation": (2, 3), "stride": (2, 1)}),
        ("grouped", (1, 3, 3, 4), (2, 2, 2, 4), {"groups": 2, "pad": 1}),
        ("depthwise", (2, 4, 4, 3), (3, 3, 1, 6), {"groups": 3, "stride": 2, "pad": 1}),
        ("grouped dilated strided padded", (1, 7, 6, 4), (3, 2, 2, 2),
         {"groups": 2, "stride": 2, "dilation": 2, "pad": ((1, 2), (0, 1))}),
        ("whole picture", (2, 3, 4, 2), (3, 4, 2, 3), {}),
        ("one channel, even kernel", (1, 5, 5, 1), (4, 4, 1, 1), {"pad": ((1, 2), (2, 1))}),
    ]  # fmt: skip
    rows = [
        Case(f"conv {name}", lambda x, w, kw=kw: ag.conv(x, w, **kw),
             lambda x, w, kw=kw: lax_conv(x, w, **kw),
             lambda x, w, kw=kw: torch_conv(x, w, **kw), (x, w), ("conv",))
        for name, x, w, kw in fields
    ]  # fmt: skip
    backs: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("", (1, 3, 3, 2), (3, 3, 2, 1), {}),
        ("doubling", (1, 3, 3, 2), (2, 2, 2, 2), {"stride": 2}),
        ("stride pad", (1, 3, 4, 1), (3, 3, 1, 2), {"stride": 2, "pad": 1, "output_pad": 1}),
        ("dilated", (1, 3, 3, 1), (2, 2, 1, 2), {"dilation": 2, "stride": 2}),
        ("grouped", (1, 3, 3, 4), (2, 2, 2, 2), {"groups": 2, "stride": 2}),
        ("1d", (2, 4, 2), (3, 2, 3), {"stride": 3}),
        ("3d", (1, 2, 2, 2, 1), (2, 2, 2, 1, 1), {"stride": 2}),
        (
            "more at the end than a stride",
            (1, 3, 2, 1),
            (2, 2, 1, 1),
            {"dilation": 3, "output_pad": 2, "pad": 1},
        ),
    ]
    rows += [
        Case(f"conv_transpose {name}", lambda x, w, kw=kw: ag.conv_transpose(x, w, **kw),
             lambda x, w, kw=kw: lax_conv_transpose(x, w, **kw),
             lambda x, w, kw=kw: torch_conv_transpose(x, w, **kw), (x, w),
             ("conv's gradient by x",))
        for name, x, w, kw in backs
    ]  # fmt: skip

    # the adjoint in the kernel as a function: x and g as arguments, against jax's own vjp
    kernel_fields = {"stride": 2, "pad": ((1, 0), (0, 1)), "dilation": 1, "groups": 2}

    def ours(x: Any, g: Any) -> Any:
        geo = ag.convolution.geometry(2, **kernel_fields)
        return ag.convolution.conv_kernel(x, g, geo=geo, kernel=(2, 3))

    def theirs(x: Any, g: Any) -> Any:
        import jax

        like = jax.ShapeDtypeStruct((2, 3, 1, 2), x.dtype)
        return jax.linear_transpose(lambda w: lax_conv(x, w, **kernel_fields), like)(g)[0]

    rows.append(Case("conv_kernel", ours, theirs, None, ((1, 5, 4, 2), (1, 3, 2, 2)),
                     ("conv's gradient by w",)))  # fmt: skip
    return rows


def pools() -> list[Case]:
    rows = []
    fields: list[tuple[str, Any, dict[str, Any]]] = [
        ("", (2, 4, 4, 2), {"kernel": 2}),
        ("overlapping", (1, 5, 5, 1), {"kernel": 3, "stride": 2}),
        ("rest", (1, 5, 4, 1), {"kernel": 2}),
        ("stride over kernel", (1, 7, 7, 1), {"kernel": 2, "stride": 3}),
        ("1d", (1, 7, 2), {"kernel": 3, "stride": 2}),
        ("3d", (1, 3, 4, 2, 1), {"kernel": 2, "stride": 1}),
    ]
    for name, shape, kw in fields:
        for op in ("max_pool", "avg_pool"):
            rows.append(
                Case(f"{op} {name}", lambda x, op=op, kw=kw: getattr(ag, op)(x, **kw),
                     lambda x, op=op, kw=kw: globals()[f"lax_{op}"](x, **kw),
                     lambda x, op=op, kw=kw: globals()[f"torch_{op}"](x, **kw), (shape,), (op,),
                     apart=True)
            )  # fmt: skip
    even = {"kernel": 3, "stride": 2, "pad": 1}
    uneven = {"kernel": (3, 2), "stride": 2, "pad": ((0, 2), (1, 0))}
    dilated = {"kernel": 2, "stride": 1, "dilation": 2, "pad": 1}
    # ceil mode on 6x6, kernel 3, stride 2, pad 1: the last window reaches one further
    ceil = {"kernel": 3, "stride": 2, "pad": ((1, 2), (1, 2))}
    counted = ((1, 1), (1, 1))
    rows += [
        Case("max_pool padded", lambda x: ag.max_pool(x, **even),
             lambda x: lax_max_pool(x, **even), lambda x: torch_max_pool(x, **even),
             ((1, 5, 5, 1),), ("max_pool",), apart=True),
        Case("max_pool asymmetric", lambda x: ag.max_pool(x, **uneven),
             lambda x: lax_max_pool(x, **uneven), lambda x: torch_max_pool(x, **uneven),
             ((1, 5, 5, 1),), ("max_pool",), apart=True),
        Case("max_pool dilated", lambda x: ag.max_pool(x, **dilated),
             lambda x: lax_max_pool(x, **dilated), lambda x: torch_max_pool(x, **dilated),
             ((1, 5, 5, 1),), ("max_pool",), apart=True),
        Case("max_pool ceil", lambda x: ag.max_pool(x, **ceil),
             lambda x: lax_max_pool(x, **ceil), lambda x: torch_ceil_max(x, 3, 2, 1),
             ((1, 6, 6, 1),), ("max_pool",), apart=True),
        Case("avg_pool padded", lambda x: ag.avg_pool(x, **even),
             lambda x: lax_avg_pool(x, **even), lambda x: torch_avg_pool(x, **even),
             ((1, 5, 5, 1),), ("avg_pool",)),
        Case("avg_pool pad not counted", lambda x: ag.avg_pool(x, **even, count_include_pad=False),
             lambda x: lax_avg_pool(x, **even, counted=0),
             lambda x: torch_avg_pool(x, **even, counted=False), ((1, 5, 5, 2),), ("avg_pool",)),
        Case("avg_pool asymmetric", lambda x: ag.avg_pool(x, **uneven),
             lambda x: lax_avg_pool(x, **uneven), None, ((1, 5, 5, 1),), ("avg_pool",)),
        Case("avg_pool dilated", lambda x: ag.avg_pool(x, **dilated),
             lambda x: lax_avg_pool(x, **dilated), None, ((1, 5, 5, 1),), ("avg_pool",)),
        Case("avg_pool ceil", lambda x: ag.avg_pool(x, **ceil, counted=counted),
             lambda x: lax_avg_pool(x, **ceil, counted=counted),
             lambda x: torch_ceil_avg(x, 3, 2, 1, True), ((1, 6, 6, 1),), ("avg_pool",)),
        Case("avg_pool ceil pad not counted",
             lambda x: ag.avg_pool(x, **ceil, count_include_pad=False),
             lambda x: lax_avg_pool(x, **ceil, counted=0),
             lambda x: torch_ceil_avg(x, 3, 2, 1, False), ((1, 6, 6, 1),), ("avg_pool",)),
    ]  # fmt: skip
    return rows


def normalised() -> list[Case]:
    def of_jax(x: Any, gamma: Any = 1.0, beta: Any = 0.0) -> Any:
        over = tuple(range(x.ndim - 1))
        mean, var = jnp().mean(x, axis=over), jnp().var(x, axis=over)
        return gamma * (x - mean) / jnp().sqrt(var + 1e-3) + beta

    def of_torch(x: Any, gamma: Any = None, beta: Any = None) -> Any:
        norm = torch_().nn.functional.batch_norm
        found = norm(x.movedim(-1, 1), None, None, gamma, beta, training=True, eps=1e-3)
        return found.movedim(1, -1)

    def ours(*args: Any) -> Any:
        return ag.batch_norm(*args, eps=1e-3)[0]

    return [
        Case("batch_norm", ours, of_jax, of_torch, ((2, 3, 2, 2), (2,), (2,)), ("batch_norm",),
             symbolic=False),
        Case("batch_norm alone", ours, of_jax, of_torch, ((3, 1),), ("batch_norm",)),
    ]  # fmt: skip


CASES = list(
    itertools.chain(elementary(), arranged(), products(), convolutions(), pools(), normalised())
)
assert len({case.name for case in CASES}) == len(CASES)
