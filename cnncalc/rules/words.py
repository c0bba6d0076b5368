"""What the size rules say: kernels, divisions and frameworks in words."""

from collections.abc import Iterable, Sequence

from ..dialects import Window, floor_rule
from ..formula import compare
from . import unread
from .base import Case, an, volume


def kernel(case: Case) -> str:
    """The kernel with its article, and its extent where it is dilated."""
    noun = "pool" if case.windows[0].kind == "pool" else "filter"
    size = volume(w.k for w in case.windows)
    text = an(f"{size} {noun}" if len(case.windows) > 1 else f"{noun} of {size}")
    if any(w.d != 1 for w in case.windows):
        extent = volume(w.extent for w in case.windows)
        text += f" with dilation {one(case, 'd')} (extent {extent})"
    return text


def sized(sizes: Iterable[object]) -> str:
    """
    >>> sized([7, 7]), sized([122])
    ('7x7 input', 'input of 122')
    """
    known = list(sizes)
    return f"{volume(known)} input" if len(known) > 1 else f"input of {volume(known)}"


def setting(case: Case) -> str:
    return f"{kernel(case)} at stride {one(case, 's')}"


def one(case: Case, field: str) -> str:
    """One value where all axes agree, else all of them."""
    values = [getattr(w, field) for w in case.windows]
    return str(values[0]) if len(set(values)) == 1 else volume(values)


def division(w: Window) -> str:
    """The lecture's formula with this window's numbers: (7 - 3 + 2*0)/3 = 4/3, remainder 1."""
    pad = f"2*{w.before}" if w.before == w.after else f"{w.before} + {w.after}"
    total = w.padded - w.extent
    value = f"{total}/{w.s}" if isinstance(total, int) else f"({total})/{w.s}"
    return f"({w.n} - {w.extent} + {pad})/{w.s} = {value}, remainder {w.remainder}"


def divisions(case: Case, which: Sequence[int]) -> str:
    texts = {i: division(case.windows[i]) for i in which}
    if len(set(texts.values())) == 1:
        return texts[which[0]]
    return "; ".join(f"{case.axes[i]}s: {text}" for i, text in texts.items())


def misfit(case: Case, bad: Sequence[int]) -> str:
    """What the lecture says of a stride that does not fit, in its own form."""
    what = sized(w.n for w in case.windows)
    padded = volume(w.padded for w in case.windows)
    plain = padded == volume(w.n for w in case.windows)
    what = an(what) if plain else f"{an(what)} padded to {padded}"
    counts = [(i, case.windows[i].remainder) for i in bad]
    rest = unread.tail(counts, case)
    of = "" if plain else f" of the padded input{'' if unread.real(case) else ', zeros,'}"
    text = f"{setting(case)} does not fit {what}: {divisions(case, bad)}"
    return f"{text}: {rest}{of} {unread.verb(counts)} never read"


def rounding(case: Case) -> str:
    return f"{'rounding down' if case.dialect.exact else case.dialect.label} drops the rest"


def framework(case: Case, axis: int) -> str:
    """What the framework of the dialect does with a kernel that is too large."""
    w, name = case.windows[axis], case.dialect.name
    if name == "torch":
        rounds_up = w.kind == "pool" and w.rule is not floor_rule and compare(w.out, 1) in (0, 1)
        return "PyTorch rounds up to size 1 and computes it" if rounds_up else "PyTorch refuses it"
    if name == "onnx" and w.kind == "conv":
        return "ONNX Runtime refuses it"
    if name == "keras":
        return "Keras refuses it"
    if name == "jax":
        return "JAX gives an empty output, size 0"
    pad = f"2*{w.before}" if w.before == w.after else f"{w.before} + {w.after}"
    worked = f"({w.n} - {w.extent} + {pad})/{w.s} + 1"
    short = w.extent - w.padded
    if case.dialect.truncates:
        who = "Caffe" if name == "caffe" else "ONNX Runtime"
        size = 1 - short // w.s
        return f"{who} truncates {worked} to {size}" + (" and computes it" if size == 1 else "")
    if not isinstance(short, int) or not isinstance(w.s, int):
        return f"{worked} is not positive"
    value = f"{1 - short // w.s}" if short % w.s == 0 else f"{1 - short / w.s:.4g}"
    return f"{worked} = {value}, no position at all"
