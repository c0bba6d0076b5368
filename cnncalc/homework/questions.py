"""A network as a question sheet: what is asked of each layer, and the key that matches."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..explain import _what
from ..layers.base import Shape
from ..rows import Report, Row
from .key import Key, read_key
from .marking import MISFIT, show
from .quantities import QUANTITIES
from .subjects import Subject, misfits
from .worked import worked

if TYPE_CHECKING:
    from ..network import Network

MOST_QUESTIONS = 2_000
SLIDING = {"maxpool": "max pooling", "avgpool": "average pooling"}
UNIT = {"memory": " (bytes, float32)", "params_memory": " (bytes, float32)"}


class Blank(NamedTuple):
    """One question: in words, with its answer and the calculation that leads there."""

    quantity: str
    words: str
    answer: str
    worked: str = ""


class Part(NamedTuple):
    """What is asked of one layer, or of the whole network (None)."""

    layer: str | None
    words: str
    blanks: tuple[Blank, ...]


class Questions(NamedTuple):
    """One question sheet: its inputs, the layers in order, and what is asked of each."""

    title: str
    inputs: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    remarks: tuple[str, ...] = ()

    @property
    def asked(self) -> int:
        return sum(len(part.blanks) for part in self.parts)


def questions(
    network: "Network", layer: str | None = None,
    asked: Mapping[str | None, Sequence[str]] | None = None,
) -> Questions:  # fmt: skip
    """The question sheet of a network, or of one of its layers.

    It asks what `expect` and `points` name; where they name nothing, the output volume and the
    parameters of every layer that has windows or weights, or changes the volume. Nothing is
    asked beyond a layer that does not fit. Raises `KeyRefusedError`, or ValueError where there
    is no such layer. `asked` says instead what is asked of whom.

    >>> import cnncalc
    >>> part = questions(cnncalc.load("lecture/exercise-1")).parts[0]
    >>> part.layer, part.words
    ('conv1', '10 filters of 5x5, stride 1, padding 2')
    >>> [(blank.words, blank.answer) for blank in part.blanks]
    [('output volume', '32x32x10')]
    """
    key = read_key(network)
    report = key.report
    wanted = {name: list(what) for name, what in (asked or {}).items()}
    for question in () if wanted else key.questions:
        wanted.setdefault(question.layer, []).append(question.quantity)
    wanted = wanted or _usual(report)
    if layer is not None:
        name = _known(key, layer)
        wanted = {name: wanted.get(name) or ["output", "params"]}
    previous = next(iter(report.input_shapes))
    parts = []
    for row in report.layers:
        blanks = _blanks(key, row.name, wanted.pop(row.name, []))
        if layer is None or blanks:
            parts.append(Part(row.name, _sentence(row, previous), blanks))
        previous = row.name
    for name in list(wanted):  # blocks, and the network
        blanks = _blanks(key, name, wanted[name])
        words = "the whole network" if name is None else "all its layers together"
        parts.append(Part(name, words, blanks))
    inputs = tuple((name, show(shape)) for name, shape in report.input_shapes.items())
    if layer is not None and parts:
        own = next((r for r in report.layers if r.name == parts[0].layer), None)
        inputs = tuple(zip(own.inputs, map(show, own.input), strict=True)) if own else inputs
    return Questions(report.name, inputs, tuple(parts), _remarks(report))


def _known(key: Key, layer: str) -> str | None:
    try:
        return key.find(layer)
    except KeyError:
        raise ValueError(f"there is no layer '{layer[:60]}'{key.near(layer)}") from None


def _usual(report: Report) -> dict[str | None, list[str]]:
    asked: dict[str | None, list[str]] = {}
    bad = misfits(report.diagnostics)
    for row in report.layers:
        if row.assumed or len(asked) >= MOST_QUESTIONS:
            break
        if row.windows or row.weights or row.output != row.input[0]:
            counted = row.windows or row.weights
            asked[row.name] = ["output", "params"] if counted else ["output"]
        if row.name in bad:
            asked[row.name] = ["output"]
    counted_rows = [row for row in report.layers if row.weights]
    if len(counted_rows) > 1 and not bad:
        asked[None] = ["params"]
    return asked


def _blanks(key: Key, layer: str | None, asked: Sequence[str]) -> tuple[Blank, ...]:
    subject = key.subjects[layer]
    return tuple(_blank(subject, what, _why(key.report, layer)) for what in asked)


def _blank(subject: Subject, what: str, misfit: str) -> Blank:
    quantity = QUANTITIES[what]
    words = quantity.words.removeprefix("the ") + UNIT.get(what, "")
    if what == "output" and not subject.fits:
        return Blank(what, words, MISFIT, misfit)
    correct = quantity.correct(subject)
    answer = "none" if correct is None else show(correct)
    return Blank(what, words, answer, worked(subject, what))


def _why(report: Report, layer: str | None) -> str:
    """What the derivation says of a layer that does not fit."""
    found = (d for d in report.diagnostics if d.layer == layer and d.code[0] == "S")
    return next((d.message.removesuffix(" (as expected)") for d in found), "")


def _remarks(report: Report) -> tuple[str, ...]:
    remarks = [f"Sizes follow the {report.dialect.label} dialect; volumes are H x W x C."]
    if any("bias" in row.weights for row in report.layers):
        remarks.append("Every filter and every unit has a bias unless it says otherwise.")
    remarks.append(f"Where a layer cannot slide evenly over its input, write '{MISFIT}'.")
    return tuple(remarks)


def _sentence(row: Row, previous: str) -> str:
    """The layer as an exercise writes it, and what it reads unless that is the one before."""
    text = describe(row)
    if row.inputs != (previous,) and previous not in ("input",):
        text += f"; reads {' and '.join(row.inputs)}"
    return text


def describe(row: Row) -> str:
    """A layer in words: what slides, over what, how.

    >>> import cnncalc
    >>> describe(cnncalc.load("alexnet").derive().row("POOL1"))
    'max pooling, 3x3, stride 2, padding 0'
    """
    values = row.layer.values()
    if row.op == "conv" and not (values.get("groups", 1) != 1 and values.get("connect")):
        count = "1 filter" if values["filters"] == 1 else f"{values['filters']} filters"
        found = [f"{count} of {_extent(row)}", *_slide(row)]
        found += [f"{values['groups']} groups"] if values["groups"] != 1 else []
        found += ["connected in part"] if values.get("connect") else []
        return ", ".join(found + (["no bias"] if values["bias"] is False else []))
    if row.op == "depthwise_conv" and row.windows:
        found = [f"depthwise: {_extent(row)} filters, each on one channel", *_slide(row)]
        found += [f"{values['multiplier']} a channel"] if values["multiplier"] != 1 else []
        return ", ".join(found + (["no bias"] if values["bias"] is False else []))
    if row.op in SLIDING and row.windows:
        return ", ".join([SLIDING[row.op], _extent(row), *_slide(row)])
    if row.op == "dense":
        units = f"fully connected, {values['units']} units"
        return units + (", no bias" if values["bias"] is False else "")
    return _what(row)


def _extent(row: Row) -> str:
    kernel = [w.k for w in row.windows]
    return "x".join(map(str, kernel)) if len(kernel) != 1 else f"size {kernel[0]}"


def _slide(row: Row) -> list[str]:
    found = [f"stride {_same([w.s for w in row.windows])}"]
    pad = row.layer.values().get("pad", 0)
    words = pad if isinstance(pad, str) else None
    sides = [(w.before, w.after) for w in row.windows]
    if words is None and all(a == b for a, b in sides):
        words = _same([a for a, _ in sides])
    found.append(f"padding {words if words is not None else sides}")
    dilation = row.layer.values().get("dilation", 1)
    if dilation not in (1, (1,), (1, 1), (1, 1, 1)):
        found.append(f"dilation {show(dilation) if isinstance(dilation, tuple) else dilation}")
    return found


def _same(values: Sequence[object]) -> str:
    return str(values[0]) if len(set(map(str, values))) == 1 else "x".join(map(str, values))


__all__ = ["Blank", "Part", "Questions", "Shape", "describe", "questions"]
