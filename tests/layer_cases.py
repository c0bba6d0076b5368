"""What the layer tests share: real parameters, accepted cases, fields drawn at random."""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import jax.numpy as jnp
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from cnncalc.dialects import DIALECTS, Dialect
from cnncalc.layers.base import Layer
from cnncalc.layers.fields import Volume
from cnncalc.scope import Scope
from cnncalc.source import Node

BATCH = 2
Case = tuple[Layer, tuple[int, ...], Dialect]
DRAWN = settings(max_examples=60, deadline=None)


class Arrays:
    """Parameters drawn by name, and a record of their shapes and values."""

    def __init__(self, dialect: Dialect, fill: float | None = None) -> None:
        self.dialect = dialect
        self.fill = fill
        self.params: dict[str, tuple[int, ...]] = {}
        self.buffers: dict[str, tuple[int, ...]] = {}
        self.values: dict[str, Any] = {}

    def param(self, name: str, shape: Sequence[int], fan_in: Any = None) -> Any:
        self.params[name] = tuple(shape)
        if self.fill is not None:
            return jnp.full(shape, self.fill)
        return self.values.setdefault(name, random(name, shape))

    def buffer(self, name: str, shape: Sequence[int], value: float) -> Any:
        self.buffers[name] = tuple(shape)
        spread = np.abs(random(name, shape)) / 2
        return self.values.setdefault(name, np.float32(value) + spread)


def random(name: str, shape: Sequence[int]) -> Any:
    return np.random.default_rng(crc32(name.encode())).standard_normal(shape, dtype="float32")


def volume(text: str) -> tuple[int, ...]:
    field = Volume()
    field.name = "input"
    found: tuple[int, ...] = field.read(Node.of(text), Scope())
    return found


def refusal(layer: Layer, shapes: Sequence[Any], dialect: Dialect) -> str | None:
    """Why this dialect does not take the layer; None where it does."""
    for misfit in layer.misfits(shapes, dialect):
        return misfit.code
    for w in layer.windows(shapes, dialect):
        if w.flaw:
            return w.flaw[0]
        if w.kind != "transpose" and w.padded < w.extent:
            return "S002"
        if w.out < 1:
            return "S009"
    return None


def one_or_each(rank: int, low: int, high: int) -> st.SearchStrategy[Any]:
    number = st.integers(low, high)
    return st.one_of(number, st.lists(number, min_size=rank, max_size=rank))


def padding(rank: int) -> st.SearchStrategy[Any]:
    pair = st.lists(st.integers(0, 3), min_size=2, max_size=2)
    each = st.lists(pair, min_size=rank, max_size=rank)
    words = st.sampled_from(["same", "valid", "same_lower"])
    return st.one_of(one_or_each(rank, 0, 2), words, each)


@st.composite
def placed(draw: Any, cls: type[Layer], dialects: Sequence[str] = tuple(DIALECTS)) -> Case:
    """A sliding layer, a volume and a dialect, whether they fit or not."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 2)) if "groups" in cls.fields else 1
    channels = groups * draw(st.integers(1, 2))
    shape = (*(draw(st.integers(1, 12)) for _ in range(rank)), channels)
    strides = one_or_each(rank, 1, 3)
    choices: dict[str, Any] = {
        "filters": st.integers(1, 2).map(lambda f: f * groups),
        "groups": st.just(groups),
        "kernel": one_or_each(rank, 1, 5),
        "stride": strides if cls.fields["stride"].default else st.none() | strides,
        "pad": padding(rank),
        "dilation": one_or_each(rank, 1, 2),
        "output_pad": one_or_each(rank, 0, 2),
        "multiplier": st.integers(1, 2),
        "bias": st.booleans(),
        "round": st.sampled_from(["floor", "ceil", None]),
        "count_include_pad": st.sampled_from([True, False, None]),
    }
    fields = {name: draw(s) for name, s in choices.items() if name in cls.fields}
    return cls(**fields), shape, DIALECTS[draw(st.sampled_from(dialects))]


def drawn(cls: type[Layer]) -> st.SearchStrategy[Case]:
    """`placed` where the dialect accepts the layer."""
    return placed(cls).filter(lambda case: refusal(case[0], [case[1]], case[2]) is None)
