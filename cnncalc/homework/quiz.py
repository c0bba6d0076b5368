"""Fresh exercises like the lecture's: the numbers work out, and some do not fit on purpose.

The same seed gives the same quiz, everywhere: only `random.Random(text).random()` is drawn
from, which Python keeps the same between versions.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..network import Network, load
from ..rows import Report
from ..source import Source
from .questions import Blank, Questions, questions

LEVELS = range(1, 6)
MOST = 500
MISFITS = 4  # one exercise in so many does not fit
TITLES = {
    1: "one layer: how large is its output?",
    2: "one layer: output volume and parameters",
    3: "a few layers in a row",
    4: "a small network with fully connected layers",
    5: "dilation, groups, separable filters, receptive fields",
}


class Exercise(NamedTuple):
    """One exercise: its key as a spec, derived, and the questions it asks."""

    number: int
    level: int
    fits: bool
    spec: str
    report: Report
    questions: Questions


class QuizError(Exception):
    """An exercise whose key JAX does not confirm: a fault of cnncalc's."""


Item = dict[str, Any]


def quiz(seed: int, levels: Sequence[int], count: int) -> Iterator[Exercise]:
    """`count` exercises, the levels spread over them in order.

    >>> [e.questions.title for e in quiz(7, [1], 2)]
    ['Exercise 1', 'Exercise 2']
    """
    for i in range(count):
        level = levels[i * len(levels) // count]
        yield exercise(seed, level, i)


def exercise(seed: int, level: int, index: int) -> Exercise:
    """The exercise at a place in a quiz; it depends on nothing else."""
    draw = Draw(f"cnncalc quiz {seed} {level} {index}")
    block = Draw(f"cnncalc quiz {seed} misfit {index // MISFITS}")
    fits = index % MISFITS != block.whole(0, MISFITS - 1)
    maker = Maker(draw, fits)
    MAKERS[level](maker)
    title = f"Exercise {index + 1}"
    asked = questions(load(maker.spec(title)), asked=maker.asked())
    final = maker.spec(title, asked)
    network = load(Source(final, f"exercise-{index + 1:02}.yaml"))  # type: ignore[arg-type]
    return Exercise(index + 1, level, fits, final, network.derive(), questions(network))


def confirm(one: Exercise) -> None:
    """Runs the exercise on JAX and compares every answer; raises `QuizError`."""
    from ..checker import check
    from .recheck import recheck

    wrong = [e for e in one.report.expectations if e.verdict != "right"]
    if wrong:
        e = wrong[0]
        raise QuizError(f"exercise {one.number}: the key says {e.given}, derived is {e.correct}")
    report = check(Source(one.spec, one.report.source.path), only_shapes=True)
    if report.run.status != "agrees":
        raise QuizError(f"exercise {one.number}: JAX {report.run.status}: {report.run.detail}")
    found = recheck(one.report, one.questions)
    if found:
        raise QuizError(f"exercise {one.number}: {found[0]}")


class Draw:
    """Numbers drawn from a text."""

    def __init__(self, text: str) -> None:
        self.random = random.Random(text)

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.random.random() * (high - low + 1))

    def of(self, options: Sequence[Any]) -> Any:
        return options[self.whole(0, len(options) - 1)]


class Maker:
    """Builds one spec, from its last volume back where sizes must work out."""

    def __init__(self, draw: Draw, fits: bool) -> None:
        self.draw, self.fits = draw, fits
        self.layers: list[tuple[str, Item, str, tuple[str, ...]]] = []
        self.input: tuple[int, int] = (1, 1)  # side, depth
        self.network: tuple[str, ...] = ()

    def chain(self, final: int, steps: Sequence["Step"], depth: int) -> None:
        """Layers one after the other, so that `final` comes out at the end.

        Every input is the size that just fits: n = (o - 1)·s + K - 2p. Where the exercise is
        not to fit, the last step that can leaves a remainder.
        """
        sizes = [final]
        for step in reversed(steps):
            sizes.append((sizes[-1] - 1) * step.stride + step.extent - 2 * step.pad)
        side = sizes[-1]
        if not self.fits:
            first = next(i for i, step in enumerate(steps) if step.stride > 1)
            jump = 1
            for step in steps[:first]:
                jump *= step.stride
            side += jump * self.draw.whole(1, steps[first].stride - 1)
        self.input = (side, depth)
        last = len(steps) - 1
        if not self.fits:
            last = first
        for step in steps[: last + 1]:
            self.layers.append((step.name, step.item(), step.op, step.asked))
            if step.relu and step is not steps[last]:
                self.layers.append(("", {}, "relu", ()))

    def add(self, name: str, op: str, item: Item, asked: tuple[str, ...]) -> None:
        self.layers.append((name, item, op, asked))

    def asked(self) -> dict[str | None, list[str]]:
        """What is asked of each layer; of one that does not fit, only whether it does."""
        found: dict[str | None, list[str]] = {
            name: list(asked) for name, item, _, asked in self.layers if item and asked
        }
        if not self.fits:
            found[self.layers[-1][0]] = ["output"]
        elif self.network:
            found[None] = list(self.network)
        return found

    def spec(self, title: str, asked: Questions | None = None) -> str:
        """The spec's text; with the answers once they are derived."""
        answers = {p.layer: p.blanks for p in asked.parts if p.blanks} if asked else {}
        side, depth = self.input
        lines = [f"name: {title}", f"input: {side}x{side}x{depth}", "layers:"]
        for name, item, op, _ in self.layers:
            if not item:
                lines.append(f"  - {op}")
                continue
            fields = ", ".join(f"{k}: {v}" for k, v in item.items())
            lines += [f"  - {op}: {{{fields}}}", f"    name: {name}"]
            if name in answers:
                lines.append(f"    {_expect(answers[name])}")
        if None in answers:
            lines.append(_expect(answers[None]))
        return "\n".join(lines) + "\n"


def _expect(blanks: Sequence[Blank]) -> str:
    return f"expect: {{{', '.join(f'{b.quantity}: {b.answer}' for b in blanks)}}}"


class Step(NamedTuple):
    """One sliding layer of a chain."""

    name: str
    op: str
    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    filters: int = 0
    groups: int = 1
    bias: bool = True
    asked: tuple[str, ...] = ("output",)
    relu: bool = False

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def item(self) -> Item:
        found: Item = {"filters": self.filters} if self.filters else {}
        found |= {"kernel": self.kernel, "stride": self.stride}
        found |= {"pad": self.pad} if self.pad else {}
        found |= {"dilation": self.dilation} if self.dilation != 1 else {}
        found |= {"groups": self.groups} if self.groups != 1 else {}
        return found | ({} if self.bias else {"bias": "false"})


OUTPUT, BOTH = ("output",), ("output", "params")


def _one(maker: Maker) -> None:
    """One layer, and only its output."""
    draw = maker.draw
    stride = draw.of((1, 1, 2, 3)) if maker.fits else draw.of((2, 3))
    if draw.whole(0, 2) == 0:
        kernel = draw.of((2, 3))
        stride = max(2, min(stride, kernel))
        step = Step("POOL1", "maxpool", kernel, stride)
        maker.chain(draw.whole(3, 14), [step], draw.of((3, 6, 16, 32)))
        return
    kernel = draw.of((3, 3, 5))
    pad = draw.of((0, 0, 1, (kernel - 1) // 2))
    step = Step("CONV1", "conv", kernel, stride, pad, filters=draw.of((1, 4, 6, 8, 10)))
    maker.chain(draw.whole(3, 12), [step], draw.of((1, 3)))


def _two(maker: Maker) -> None:
    """One convolution in depth: output and parameters."""
    draw = maker.draw
    kernel = draw.of((1, 3, 3, 5, 7, 11)) if maker.fits else draw.of((3, 5, 7, 11))
    stride = draw.of((1, 1, 2, 4)) if maker.fits else draw.of((2, 3, 4))
    pad = draw.of((0, (kernel - 1) // 2))
    filters = draw.of((6, 10, 16, 20, 32, 64, 96))
    step = Step("CONV1", "conv", kernel, stride, pad, filters=filters, asked=BOTH)
    maker.chain(draw.of((13, 14, 16, 27, 28, 32, 55)), [step], draw.of((3, 3, 16, 32, 64)))


def _three(maker: Maker) -> None:
    """Convolution, pooling, convolution."""
    draw = maker.draw
    maker.chain(draw.of((6, 7, 8, 12, 13)), _trunk(draw, maker.fits), draw.of((1, 3)))


def _trunk(draw: Draw, fits: bool) -> list[Step]:
    first, second = draw.of((3, 5, 7)), draw.of((3, 5))
    pool = draw.of((2, 3))
    return [
        Step("CONV1", "conv", first, draw.of((1, 1, 2)) if fits else 1, draw.of((0, first // 2)),
             filters=draw.of((6, 8, 16, 32)), asked=(*BOTH, "neurons"), relu=True),
        Step("POOL1", "maxpool", pool, 2, asked=BOTH),
        Step("CONV2", "conv", second, 1, draw.of((0, second // 2)),
             filters=draw.of((16, 20, 32, 64)), asked=BOTH, relu=True),
    ]  # fmt: skip


def _four(maker: Maker) -> None:
    """A small network, with what it costs."""
    draw = maker.draw
    steps = _trunk(draw, maker.fits)
    steps[0] = steps[0]._replace(asked=(*BOTH, "macs"))
    steps.append(Step("POOL2", "maxpool", 2, 2))
    maker.chain(draw.of((4, 5, 6, 7)), steps, draw.of((1, 3)))
    if maker.fits:
        hidden, classes = draw.of((64, 84, 100, 120, 128)), draw.of((10, 10, 20, 100))
        maker.add("FC1", "dense", {"units": hidden}, ("params", "macs"))
        maker.add("", "relu", {}, ())
        maker.add("FC2", "dense", {"units": classes}, ("output", "params"))
        maker.network = ("params",)


def _five(maker: Maker) -> None:
    """Dilated, grouped or separable filters."""
    kinds: tuple[Callable[[Maker], None], ...] = (_dilated, _grouped, _separable)
    kinds[maker.draw.whole(0, 2)](maker)


def _dilated(maker: Maker) -> None:
    draw = maker.draw
    filters = draw.of((8, 16, 32))
    steps = []
    for i, dilation in enumerate((1, draw.of((1, 2)), draw.of((2, 4))), 1):
        stride = 2 if i == 2 and (not maker.fits or draw.whole(0, 1)) else 1
        asked = ("output", "receptive_field") if i > 1 else BOTH
        steps.append(Step(f"CONV{i}", "conv", 3, stride, 0, dilation, filters, asked=asked))
    maker.chain(draw.whole(8, 20), steps, draw.of((1, 3)))


def _grouped(maker: Maker) -> None:
    draw = maker.draw
    groups = draw.of((2, 4, 8))
    depth, filters = groups * draw.of((4, 6, 12)), groups * draw.of((8, 12, 16))
    kernel = draw.of((3, 5))
    stride = 2 if not maker.fits else draw.of((1, 2))
    asked = (*BOTH, "macs")
    step = Step("CONV1", "conv", kernel, stride, draw.of((0, kernel // 2)), 1, filters, groups,
                draw.of((True, False)), asked)  # fmt: skip
    one = Step("CONV2", "conv", 1, filters=draw.of((16, 32, 64)), asked=asked)
    maker.chain(draw.of((13, 14, 27, 28)), [step, one], depth)
    maker.network = ("params",) if maker.fits else ()


def _separable(maker: Maker) -> None:
    draw = maker.draw
    stride = 2 if not maker.fits else draw.of((1, 2))
    asked = ("output", "params")
    steps = [
        Step("DW", "depthwise_conv", 3, stride, 1, bias=draw.of((True, False)), asked=asked),
        Step("PW", "conv", 1, filters=draw.of((32, 64, 128)), asked=asked),
    ]
    maker.chain(draw.of((7, 14, 28)), steps, draw.of((16, 32, 64)))
    maker.network = ("params",) if maker.fits else ()


MAKERS: dict[int, Callable[[Maker], None]] = {1: _one, 2: _two, 3: _three, 4: _four, 5: _five}

__all__ = ["Exercise", "Network", "QuizError", "confirm", "exercise", "quiz"]
