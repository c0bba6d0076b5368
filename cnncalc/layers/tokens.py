"""Tokens and positions: trained arrays that join a volume, and tables of words."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..formula import compare
from .base import (
    Choice,
    Count,
    Dialect,
    Flag,
    Layer,
    Misfit,
    Rational,
    Run,
    Shape,
    Shapes,
    Volume,
)
from .reshape import volume_text

if TYPE_CHECKING:
    from ..execute import Pass


def _repeated(value: Any, count: Any) -> Any:
    """An array for every item of a batch."""
    from .. import autograd as ag

    return ag.broadcast_to(ag.reshape(value, (1, *value.shape)), (count, *value.shape))


class Parameter(Layer, op="parameter"):
    """An array of its own, trained, the same for every item; what comes in is not read.

    value (shape). With `trainable: false` it is kept but not trained, a buffer. It meets a
    volume in a join: `- add: [[], [{parameter: 197x768}]]` (an initialiser of ONNX,
    torch.nn.Parameter).
    """

    shape: Any = Volume()
    trainable: Any = Flag(default=True)

    examples = (
        ("5x6x4", {"shape": "7x3"}),
        ("10", {"shape": "2x3x4x5", "trainable": False}),
        ("4x3", {"shape": 6}),
    )
    kept = 0

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape: Shape = self.shape
        return shape

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"value": self.shape} if self.trainable else {}

    def buffers(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {} if self.trainable else {"value": self.shape}

    def forward(self, run: "Pass", x: Any) -> Any:
        made = run.param if self.trainable else run.buffer
        return _repeated(made("value", self.shape, 0.0), x.shape[0])

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        if self.trainable:
            value = run.param("value", self.shape)
        else:
            value = run.buffer("value", self.shape, 0.0)
        return jnp.stack([value] * x.shape[0])


class Constant(Layer, op="constant"):
    """A volume filled with one number; what comes in is not read, and nothing is stored."""

    shape: Any = Volume()
    value: Any = Rational(default=0)

    examples = (("5x6x4", {"shape": "7x3", "value": "0.5"}), ("10", {"shape": "2x3"}))

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape: Shape = self.shape
        return shape

    def forward(self, run: "Pass", x: Any) -> Any:
        import numpy as np

        from . import _ag

        value = _ag.number(Fraction(self.value), x)
        return np.full((x.shape[0], *self.shape), value, str(x.dtype))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.full((x.shape[0], *self.shape), float(self.value), x.dtype)


class ClassToken(Layer, op="class_token"):
    """Puts trained tokens before the others, TxC to (T + count)xC, or behind them.

    token (count, C): the class token of ViT (Dosovitskiy 2020); more of them are registers
    or a distillation token. Any axes before the last two are windows of tokens.
    """

    count: Any = Count(default=1)
    position: Any = Choice(("first", "last"), default="first")

    examples = (
        ("16x8", {}),
        ("5x4", {"count": 3, "position": "last"}),
        ("2x3x5x4", {"count": 2}),
    )

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        shape = inputs[0]
        if len(shape) < 2:
            return shape
        return (*shape[:-2], shape[-2] + self.count, shape[-1])

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"token": (self.count, inputs[0][-1])}

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        if len(inputs[0]) < 2:
            text = f"class_token needs tokens TxC, but its input is a flat vector of {inputs[0][0]}"
            yield Misfit("S008", text)

    def forward(self, run: "Pass", x: Any) -> Any:
        from .. import autograd as ag

        token = run.param("token", (self.count, x.shape[-1]))
        wide = ag.broadcast_to(token, (*x.shape[:-2], *token.shape))
        return ag.concatenate(*((wide, x) if self.position == "first" else (x, wide)), axis=-2)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp
        from jax import lax

        token = run.param("token", (self.count, x.shape[-1]))
        wide = jnp.zeros_like(x[..., :1, :]) + token
        pair = (wide, x) if self.position == "first" else (x, wide)
        return lax.concatenate(pair, x.ndim - 2)


class Positional(Layer, op="positional"):
    """Adds to every position what says where it is: a trained array, or sines and cosines.

    learned: position (shape), of the volume's own shape unless `shape` says otherwise; its
    axes of size 1 are repeated (Dosovitskiy 2020). sinusoidal: nothing is trained; token t
    gets sin(t/10000^(2i/C)) in channel 2i and the cosine in channel 2i + 1 (Vaswani 2017).
    """

    shape: Any = Volume(default=None)
    kind: Any = Choice(("learned", "sinusoidal"), default="learned")

    in_place = True
    examples = (
        ("16x8", {}),
        ("5x6x4", {"shape": "1x6x4"}),
        ("7x6", {"kind": "sinusoidal"}),
        ("2x3x5", {"kind": "sinusoidal"}),
    )

    def _shape(self, x: Shape) -> Shape:
        shape: Shape = x if self.shape is None else self.shape
        return shape

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"position": self._shape(inputs[0])} if self.kind == "learned" else {}

    def misfits(self, inputs: Shapes, dialect: Dialect) -> Iterator[Misfit]:
        x, shape = inputs[0], self._shape(inputs[0])
        if self.kind == "sinusoidal":
            if len(x) < 2:
                yield Misfit("S008", f"sines need tokens TxC, but the input is a vector of {x[0]}")
            elif self.shape is not None:
                yield Misfit("S008", "shape is of learned positions; leave it out", "shape")
        elif len(shape) != len(x):
            text = f"shape lists {len(shape)} axes, but the input has {len(x)}"
            yield Misfit("S008", text, "shape")
        elif any(
            compare(m, 1) != 0 and compare(n, m) in (-1, 1) for n, m in zip(x, shape, strict=True)
        ):
            text = f"positions for {volume_text(shape)} do not fit the input {volume_text(x)}"
            yield Misfit("S003", text, "shape")

    def forward(self, run: "Pass", x: Any) -> Any:
        if self.kind == "learned":
            return x + run.param("position", self._shape(x.shape[1:]))
        import numpy as np

        places = np.arange(x.shape[-2])[:, None]
        pairs = np.arange(x.shape[-1]) // 2 * 2
        angles = places / 10000.0 ** (pairs / x.shape[-1])
        waves = np.where(np.arange(x.shape[-1]) % 2 == 0, np.sin(angles), np.cos(angles))
        return x + waves.astype(str(x.dtype))

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        if self.kind == "learned":
            return x + run.param("position", self._shape(x.shape[1:]))
        t, c = x.shape[-2:]
        channel = jnp.arange(c)
        rate = jnp.exp(-jnp.log(10000.0) * (channel - channel % 2).astype(x.dtype) / c)
        angle = jnp.arange(t).astype(x.dtype)[:, None] * rate
        return x + jnp.sin(angle + (channel % 2) * (jnp.pi / 2)).astype(x.dtype)


class Embedding(Layer, op="embedding"):
    """A table of vectors: every word, a whole number from 0 to vocab - 1, takes its row.

    table (vocab, dim). A vector of T words becomes TxD; words of any volume gain one axis
    (torch.nn.Embedding, keras.layers.Embedding). Numbers outside the vocabulary take the
    nearest row.

    >>> from cnncalc.dialects import DEFAULT
    >>> Embedding(10_000, 64).output([(80,)], DEFAULT)
    (80, 64)
    """

    vocab: Any = Count()
    dim: Any = Count()

    examples = (("7", {"vocab": 5, "dim": 4}), ("4x3", {"vocab": 3, "dim": 6}))
    kept = 1.25

    def output(self, inputs: Shapes, dialect: Dialect) -> Shape:
        return (*inputs[0], self.dim)

    def weights(self, inputs: Shapes, dialect: Dialect) -> dict[str, Shape]:
        return {"table": (self.vocab, self.dim)}

    def forward(self, run: "Pass", x: Any) -> Any:
        import numpy as np

        from .. import autograd as ag

        table = run.param("table", (self.vocab, self.dim))
        words = ag.minimum(ag.maximum(ag.stop_gradient(x), 0), self.vocab - 1)
        if words.dtype == object:  # of symbols: each row where it is meant
            chosen = ag.floor(words)[..., None] * np.ones(self.vocab, int)
            meant = ag.where(ag.equal(chosen, np.arange(self.vocab)), 1, 0)
            return ag.matmul(meant, table)
        return ag.take(table, words.astype("int32"), axis=0)

    def reference(self, run: Run, x: Any) -> Any:
        import jax.numpy as jnp

        table = run.param("table", (self.vocab, self.dim))
        return jnp.take(table, x.astype(jnp.int32), axis=0, mode="clip")
