"""Remedies for sizes that do not fit: searched nearest first, offered only if they work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import isqrt
from typing import Any, NamedTuple

from ..dialects import Window
from ..formula import compare
from ..layers.base import REGISTRY, Fix, Layer, Shape, axes, product
from . import unread
from .base import Case, Finding, fits, listed, too_large, volume, whole

WIDTH = 600  # candidates tried for one field along one axis
FEW = 9  # the same where the size is a closed form
WIDE = range(1, 1 << 20)


class Trial(NamedTuple):
    """A changed layer or changed inputs, and how to say it."""

    text: str
    layer: Layer
    inputs: tuple[Shape, ...]


Search = Callable[[Case, Finding], Iterator[Trial]]


def offers(case: Case, finding: Finding) -> tuple[str, ...]:
    """Help lines for `finding`: the first change of every kind that was found to work."""
    lines: list[str] = []
    for search in SEARCHES.get(finding.code, (stated,)):
        if lines and search in LAST:
            continue
        for trial in search(case, finding):
            if works(case, finding, trial):
                lines.append(_line(trial, case))
                break
    return tuple(dict.fromkeys(lines))[:5] + input_sizes(case, finding)


def works(case: Case, finding: Finding, trial: Trial) -> bool:
    """Whether the finding is gone after the change, and no other error has come instead."""
    from .sizes import findings

    after = Case.of(trial.layer, trial.inputs, case.dialect)
    found = [f for f in findings(after) if f.severity != "note"]
    if any(f.code == finding.code for f in found):
        return False
    before = {f.code for f in findings(case)}
    if any(f.severity == "error" and f.code not in before for f in found):
        return False
    return all(compare(d, 1) != -1 for d in after.output)


def _line(trial: Trial, case: Case) -> str:
    if trial.layer is case.layer:
        return f"{trial.text} fits"
    output = volume(trial.layer.output(trial.inputs, case.dialect))
    return f"{trial.text} fits: the output is {output}"


# --- one field of a sliding window ------------------------------------------------------


def search_pad(case: Case, finding: Finding) -> Iterator[Trial]:
    """Nearest numbers of zeros at both ends."""
    yield from _along_axes(case, finding, "pad", _pads)


def search_stride(case: Case, finding: Finding) -> Iterator[Trial]:
    yield from _along_axes(case, finding, "stride", lambda w: _near(w.s, WIDE))


def search_kernel(case: Case, finding: Finding) -> Iterator[Trial]:
    yield from _along_axes(case, finding, "kernel", _kernels)


def search_pad_layer(case: Case, finding: Finding) -> Iterator[Trial]:
    """The zeros may come from a layer of their own, which takes any padding."""
    ends = [(w.before, w.after) for w in case.windows]
    if case.layer.op == "maxpool" or whole(n for pair in ends for n in pair) is None:
        return  # a max pool's own padding never wins, zeros may
    sizes = [w.padded for w in case.windows]
    by = _shown(_joined([a if a == b else (a, b) for a, b in ends]))
    inputs = ((*sizes, case.inputs[0][-1]),)
    yield Trial(
        f"a layer `pad: {by}` before it, with pad: 0 here,", case.layer.replace(pad=0), inputs
    )


def search_two(case: Case, finding: Finding) -> Iterator[Trial]:
    """Another kernel or stride 1 with a pad to suit, where neither field does alone."""
    kernel = case.layer.values().get("kernel")
    kernels = islice(_near(kernel, WIDE), 6) if isinstance(kernel, int) else ()
    for field, value in [*(("kernel", k) for k in kernels), ("stride", 1)]:
        inner = Case.of(case.layer.replace(**{field: value}), case.inputs, case.dialect)
        for trial in _along_axes(inner, finding, "pad", _pads):
            yield trial._replace(text=f"{field}: {value}, {trial.text}")


def search_dilation(case: Case, finding: Finding) -> Iterator[Trial]:
    if any(w.d != 1 for w in case.windows):
        yield from _along_axes(case, finding, "dilation", lambda w: _near(w.d, WIDE))


def search_output_pad(case: Case, finding: Finding) -> Iterator[Trial]:
    yield from _along_axes(case, finding, "output_pad", lambda w: range(_whole(w.s), -1, -1))


def search_round(case: Case, finding: Finding) -> Iterator[Trial]:
    """Pools may round up, so that everything is read."""
    if "round" in case.layer.fields:
        yield Trial("round: ceil", case.layer.replace(round="ceil"), case.inputs)


def search_transposed_same(case: Case, finding: Finding) -> Iterator[Trial]:
    """Numbers that make a transposed convolution's output exactly s times the input."""
    over = whole(w.extent - w.s for w in case.windows)
    if "output_pad" not in case.layer.fields or over is None:
        return
    extra = _joined([d % 2 if d > 0 else -d for d in over])
    pad = _joined([max(d + 1, 0) // 2 for d in over])
    text = f"pad: {_shown(pad)}, output_pad: {_shown(extra)}"
    yield Trial(text, case.layer.replace(pad=pad, output_pad=extra), case.inputs)


def _along_axes(
    case: Case, finding: Finding, field: str, candidates: Callable[[Window], Iterable[int]]
) -> Iterator[Trial]:
    """The layer with `field` changed to the nearest value that fits, axis by axis.

    Where no value lets every pixel be read, one that merely fits will do for an error.
    """
    if field not in case.layer.fields:
        return
    for strict in (True, False) if finding.severity == "error" else (True,):
        layer = _changed(case, field, candidates, strict)
        if layer is not None and layer != case.layer:
            text = f"{field}: {_shown(getattr(layer, field))}"
            yield Trial(text, layer, case.inputs)
            return


def _changed(
    case: Case, field: str, candidates: Callable[[Window], Iterable[int]], strict: bool
) -> Layer | None:
    """The layer with the first candidate that is good along each axis that is not."""
    values = [_current(case, field, i) for i in range(len(case.windows))]
    for i, w in enumerate(case.windows):
        if good(w, case, strict):
            continue
        for value in islice(candidates(w), WIDTH if isinstance(w.n, int) else FEW):
            tried = [*values[:i], value, *values[i + 1 :]]
            layer = case.layer.replace(**{field: _joined(tried)})
            if good(layer.windows(case.inputs, case.dialect)[i], case, strict):
                values = tried
                break
        else:
            return None
    return case.layer.replace(**{field: _joined(values)})


def good(w: Window, case: Case, strict: bool) -> bool:
    """Nothing is wrong along this axis; where strict, nothing real goes unread either."""
    if w.flaw or compare(w.out, 1) == -1 or not isinstance(w.s, int):
        return False
    if w.kind == "transpose":
        return True
    if too_large(w) or (case.exact and fits(w) is not True):
        return False
    return not strict or unread.count(w).total == 0


def _current(case: Case, field: str, axis: int) -> Any:
    """The value of `field` along one axis, as a number (or two for uneven padding)."""
    w = case.windows[axis]
    if field == "pad":
        return w.before if w.before == w.after else (w.before, w.after)
    if field == "output_pad":
        return axes(getattr(case.layer, field), len(case.windows))[axis]
    return {"stride": w.s, "kernel": w.k, "dilation": w.d}[field]


def _joined(values: Sequence[Any]) -> Any:
    """One value where all axes agree, else one an axis; pairs only among pairs."""
    if any(isinstance(v, tuple) for v in values):
        return tuple(v if isinstance(v, tuple) else (v, v) for v in values)
    return values[0] if len(set(values)) == 1 else tuple(values)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(v) for v in value)}]"
    return str(value)


def _near(start: Any, allowed: range) -> Iterator[int]:
    """Whole numbers by their distance from `start`, the smaller first."""
    at = _whole(start)
    for step in range(1, WIDTH):
        for value in (at - step, at + step):
            if value in allowed:
                yield value
    if at not in range(1, WIDTH):
        yield 1


def _whole(x: Any) -> int:
    return x if isinstance(x, int) else 0


def _pads(w: Window) -> Iterator[int]:
    """Pads around the present one, or around the least that makes the kernel fit."""
    start = min(_whole(w.before), _whole(w.after))
    missing = w.extent - w.n
    if isinstance(missing, int):
        start = max(start, -(-missing // 2))
    if w.kind == "transpose" or w.flaw is not None:
        start = min(start, _whole(w.extent))
    if w.flaw is not None or not start == w.before == w.after:
        yield start
    reach = 2 * _whole(w.s) + _whole(w.extent)  # fits repeat with the stride
    yield from islice(_near(start, range(1 << 20)), reach)


def _kernels(w: Window) -> Iterator[int]:
    """Kernels around the present one, or around the largest that the padded input holds."""
    start = _whole(w.k)
    if isinstance(w.padded, int) and isinstance(w.d, int):
        most = (w.padded - 1) // w.d + 1
        if most < start:
            yield most
            start = most
    yield from (k for k in _near(start, WIDE) if k > 1)


# --- the input --------------------------------------------------------------------------


def input_sizes(case: Case, finding: Finding) -> tuple[str, ...]:
    """The next smaller and larger input for which the layer fits."""
    if finding.code not in ("S001", "S002", "W005") or len(case.inputs) != 1:
        return ()
    found = []
    for sizes in (_sizes(case, larger=False), _sizes(case, larger=True)):
        if sizes is None or sizes == case.inputs[0][:-1]:
            continue
        trial = Trial(volume(sizes), case.layer, ((*sizes, case.inputs[0][-1]),))
        if works(case, finding, trial):
            found.append(trial.text)
    return (f"an input of {listed(found, 'or')} fits",) if found else ()


def _sizes(case: Case, larger: bool) -> tuple[int, ...] | None:
    """The nearest sizes in one direction; None where symbols or `same` leave none."""
    sizes = []
    for w in case.windows:
        known = whole((w.n, w.s, w.remainder, w.extent - w.padded))
        if known is None:
            return None
        n, s, rest, missing = known
        if missing > 0:
            sizes.append(n + missing if larger else 0)
        else:
            sizes.append(n + (s - rest) % s if larger else n - rest)
    return tuple(sizes) if min(sizes, default=0) >= 1 else None


# --- remedies that layers state, and those for joins and groups -------------------------


def stated(case: Case, finding: Finding) -> Iterator[Trial]:
    """The remedies that the layer itself proposes."""
    for misfit in case.misfits:
        if misfit.code == finding.code:
            for fix in misfit.fixes:
                yield _trial(case, fix)


def _trial(case: Case, fix: Fix) -> Trial:
    layer = case.layer.replace(**fix.fields) if fix.fields else case.layer
    return Trial(fix.text, layer, fix.inputs or case.inputs)


def search_divisor(case: Case, finding: Finding) -> Iterator[Trial]:
    """Numbers of parts near the present one; all that divide survive the check."""
    for field in ("groups", "heads"):
        value = case.layer.values().get(field)
        if isinstance(value, int):
            for near in islice(_near(value, WIDE), 128):
                yield Trial(f"{field}: {near}", case.layer.replace(**{field: near}), case.inputs)


def search_filters(case: Case, finding: Finding) -> Iterator[Trial]:
    """Filters that the groups divide."""
    filters, groups = (case.layer.values().get(f) for f in ("filters", "groups"))
    if isinstance(filters, int) and isinstance(groups, int):
        for value in (filters - filters % groups, filters + -filters % groups):
            if value >= 1:
                yield Trial(f"filters: {value}", case.layer.replace(filters=value), case.inputs)


def search_axes(case: Case, finding: Finding) -> Iterator[Trial]:
    """A list of another length, cut or filled up to one value an axis."""
    value = case.layer.values().get(finding.field or "")
    rank = len(case.inputs[0]) - 1
    if isinstance(value, tuple) and value and rank > 0 and finding.field:
        filled = (*value, *(value[-1],) * rank)[:rank]
        changed = case.layer.replace(**{finding.field: filled})
        yield Trial(f"{finding.field}: {_shown(filled)}", changed, case.inputs)


def search_flat(case: Case, finding: Finding) -> Iterator[Trial]:
    """A reshape to a flat vector always holds the same values."""
    total = product(case.inputs[0])
    if "to" in case.layer.fields and isinstance(total, int):
        yield Trial(f"to: {total}", case.layer.replace(to=(total,)), case.inputs)


def search_crop(case: Case, finding: Finding) -> Iterator[Trial]:
    yield from _brought_to(case, "crop", min)


def search_extend(case: Case, finding: Finding) -> Iterator[Trial]:
    yield from _brought_to(case, "pad", max)


def _brought_to(case: Case, op: str, choose: Callable[..., int]) -> Iterator[Trial]:
    """Inputs cropped to the smallest or padded to the largest sizes, ends as even as can be."""
    sizes = [whole(s[:-1]) for s in case.inputs]
    known = [s for s in sizes if s]
    if len(known) != len(sizes) or len({len(s) for s in known}) != 1:
        return
    goal = tuple(choose(column) for column in zip(*known, strict=True))
    said: list[str] = []
    for i, size in enumerate(known):
        if size != goal:
            differences = [abs(a - b) for a, b in zip(size, goal, strict=True)]
            by = _joined([d // 2 if d % 2 == 0 else (d // 2, d - d // 2) for d in differences])
            change = f"{volume(size)} to {volume(goal)}"
            said.append(f"`{op}: {_shown(by)}` on input {i + 1} ({change})")
    inputs = tuple((*goal, s[-1]) for s in case.inputs)
    if said:
        yield Trial(listed(said, "and"), case.layer, inputs)


def search_channels(case: Case, finding: Finding) -> Iterator[Trial]:
    """A 1x1 convolution that gives one input the channels of the others."""
    channels = [s[-1] for s in case.inputs]
    for i, shape in enumerate(case.inputs):
        others = {c for j, c in enumerate(channels) if j != i}
        if len(others) == 1 and shape[-1] not in others:
            goal = others.pop()
            inputs = tuple((*s[:-1], goal) if j == i else s for j, s in enumerate(case.inputs))
            kind = "a dense layer of" if len(shape) == 1 else "a 1x1 convolution with"
            noun = "units" if len(shape) == 1 else "filters"
            yield Trial(f"{kind} {goal} {noun} on input {i + 1}", case.layer, inputs)


def search_shape(case: Case, finding: Finding) -> Iterator[Trial]:
    """One input brought to the whole shape of another."""
    for i, shape in enumerate(case.inputs[:2]):
        inputs = tuple(shape for _ in case.inputs)
        text = f"{volume(shape)}, the shape of input {i + 1}, on every input"
        yield Trial(text, case.layer, inputs)


def search_dense(case: Case, finding: Finding) -> Iterator[Trial]:
    """A flat vector goes into a dense layer instead of a convolution."""
    filters = case.layer.values().get("filters")
    if len(case.inputs[0]) == 1 and isinstance(filters, int):
        dense = REGISTRY["dense"].build({"units": filters, "bias": True})
        yield Trial(f"dense: {filters}", dense, case.inputs)


def search_spatial(case: Case, finding: Finding) -> Iterator[Trial]:
    """A flat vector regrouped as a map: square and as large as can be, or else a row."""
    shape = case.inputs[0]
    if len(case.inputs) != 1 or len(shape) != 1 or not isinstance(shape[0], int):
        return
    n = shape[0]
    sides = [a for a in range(min(isqrt(n), WIDTH), 1, -1) if n % (a * a) == 0]
    shapes = [*((a, a, n // (a * a)) for a in sides), (n, 1), (1, 1, n), (1, n)]
    layers = [("", case.layer)]
    if "stride" in case.layer.fields:
        layers.append((", with stride: 1 here,", case.layer.replace(stride=1)))
    for said, layer in layers:
        for to in shapes:
            yield Trial(
                f"a layer `reshape: {'x'.join(map(str, to))}` before it{said}", layer, (to,)
            )


def search_one(case: Case, finding: Finding) -> Iterator[Trial]:
    """A kernel of one position at stride 1 fits every size."""
    if {"kernel", "stride"} <= set(case.layer.fields):
        yield Trial("kernel: 1, stride: 1", case.layer.replace(kernel=1, stride=1), case.inputs)


LAST = (search_two, search_shape, search_one)  # only where nothing simpler was found
SEARCHES: dict[str, tuple[Search, ...]] = {
    "S001": (search_pad, search_stride, search_kernel, search_round),
    "W005": (search_pad, search_stride, search_kernel, search_round, search_dilation),
    "S002": (search_pad, search_kernel, search_dilation, search_one),
    "S003": (stated, search_crop, search_extend, search_channels, search_shape),
    "S004": (search_divisor, search_filters, stated),
    "S005": (search_pad, search_kernel, search_pad_layer, search_two),
    "S006": (search_pad, search_kernel),
    "S007": (stated, search_flat),
    "S008": (stated, search_axes, search_dense, search_spatial),
    "S009": (stated, search_pad),
    "S010": (search_transposed_same, search_pad),
    "S011": (search_output_pad,),
}
