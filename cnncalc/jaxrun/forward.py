"""A network with numbers for sizes, run layer by layer and compared with what was derived."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

from ..diagnostics import Diagnostic, Problem, Severity
from ..layers.base import Shape
from ..rows import Row, RunRow
from ..scaling.cluster import broken, died
from ..scaling.mesh import LARGEST, Cluster
from . import memory
from .devices import Device, out_of_memory, reason
from .layer import Place, Traced, abstract, compiled, make_arrays, trace
from .params import Ahead, Arrays
from .sizes import Net, whole

Progress = Callable[[int, int, str], None]


class Outcome(NamedTuple):
    """What one pass over the network showed."""

    rows: tuple[RunRow, ...]
    diagnostics: tuple[Diagnostic, ...]


class Setting(NamedTuple):
    """What stays the same over the passes of one run."""

    device: Device | None  # None: shapes only
    batch: int
    seed: int
    misfits: frozenset[str]  # layers the derivation itself reports as not fitting
    programs: dict[Any, Any]  # traces and compiled layers
    arrays: dict[Any, Any]  # the real weights of each layer
    dtype: str = "float32"
    placer: Any = None  # a `scaling.placing.Placer`, with a mesh
    cluster: Cluster | None = None
    drawn: Ahead | None = None  # parameters that are being drawn already


def volume(shape: Shape) -> str:
    return "x".join(str(n) for n in shape) or "a single number"


def forward(net: Net, setting: Setting, tick: Callable[[str], None]) -> Outcome:
    """Runs every layer once, in order, dropping each volume after its last reader."""
    return _Pass(net, setting).run(tick)


class _Pass:
    def __init__(self, net: Net, setting: Setting) -> None:
        self.net, self.setting = net, setting
        self.values: dict[str, Any] = {}
        self.found: list[Diagnostic] = []
        self.spoiled: set[str] = set()  # layers that are not finite, or come after one
        self.stop = ""  # why nothing ran after some layer

    def run(self, tick: Callable[[str], None]) -> Outcome:
        for name, shape in self.net.inputs.items():
            self.values[name] = self._input(name, shape)
        ends = memory.last_uses(self.net)
        rows = []
        for i, row in enumerate(self.net.rows):
            tick(row.name)
            rows.append(self._row(row))
            for name in {row.name, *row.inputs}:
                if ends.get(name, -1) <= i:
                    self.values.pop(name, None)
        return Outcome(tuple(rows), tuple(self.found))

    def _input(self, name: str, shape: Shape) -> Any:
        import numpy as np

        full = (self.setting.batch, *whole(shape))
        if self.setting.device is None:
            return abstract(full)
        random = np.random.Generator(np.random.SFC64([self.setting.seed, len(name)]))
        words = [r.layer for r in self.net.rows if r.op == "embedding" and name in r.inputs]
        if words:
            return self._put(random.integers(0, words[0].values()["vocab"], full).astype("float32"))
        return self._put(self._narrow(random.standard_normal(full, dtype=np.float32)))

    def _narrow(self, value: Any) -> Any:
        """A float32 array in the run's precision."""
        if self.setting.dtype == "float32":
            return value
        import jax.numpy as jnp

        return value.astype(jnp.dtype(self.setting.dtype))

    def _put(self, value: Any) -> Any:
        import jax

        assert self.setting.device is not None
        if self.setting.placer is not None:
            return self.setting.placer.batch(value)
        return jax.device_put(value, self.setting.device.handle)

    def _put_array(self, row: Row, name: str, value: Any) -> Any:
        """A weight or buffer on the devices."""
        if self.setting.placer is not None:
            return self.setting.placer.weight(row.name, name, self._narrow(value))
        return self._put(self._narrow(value))

    def _row(self, row: Row) -> RunRow:
        if any(name not in self.values for name in row.inputs):
            return RunRow(None, 0, False, detail=f"not run: {self.stop}")
        xs = [self.values[name] for name in row.inputs]
        try:
            return self._checked(row, xs, self._traced(row, xs))
        except Exception as error:  # whatever a layer's reference raises
            if isinstance(error, Problem):
                raise
            if out_of_memory(error):
                raise _exhausted(row, error) from None
            if self.setting.cluster is not None and broken(error):
                text = f"{died(self.setting.cluster)}: the run stopped at '{row.name}'"
                raise Problem("R005", text, row.span) from None
            return self._refused(row, error)

    def _traced(self, row: Row, xs: list[Any]) -> Traced:
        shapes = tuple(tuple(x.shape) for x in xs)
        key = ("trace", row.layer, row.dialect, shapes)
        if key not in self.setting.programs:
            self.setting.programs[key] = trace(row.layer, row.dialect, shapes)
        found: Traced = self.setting.programs[key]
        return found

    def _checked(self, row: Row, xs: list[Any], traced: Traced) -> RunRow:
        if self.setting.device is None:
            y = abstract(traced.output)
        else:
            y = self._execute(row, xs, traced)
        before = len(self.found)
        finite = self._is_finite(row, y)
        result = self._compare(row, [tuple(x.shape[1:]) for x in xs], tuple(y.shape), traced)
        errors = [d for d in self.found[before:] if d.severity == "error"]
        if 0 in y.shape:
            self.stop = self.stop or f"JAX gives an empty volume at '{row.name}'"
        else:
            self.values[row.name] = y
        detail = result.detail or " ".join(d.message for d in errors[:1])
        return result._replace(agrees=result.agrees and not errors, finite=finite, detail=detail)

    # --- executing ---------------------------------------------------------------

    def _execute(self, row: Row, xs: list[Any], traced: Traced) -> Any:
        placer = self.setting.placer
        place = Place(self.setting.dtype, placer, placer is not None and placer.splits(row.name))
        key = ("run", row.layer, row.dialect, place.splits)
        assert self.setting.device is not None
        if key not in self.setting.programs:
            platform = self.setting.device.handle.platform
            self.setting.programs[key] = compiled(row.layer, row.dialect, platform, place)
        return self.setting.programs[key](self._arrays(row, traced), *xs)

    def _arrays(self, row: Row, traced: Traced) -> Arrays:
        """The layer's real weights: made once, and shared where the spec shares them."""
        owner = self._owner(row)
        needs = {k: tuple(w.shape) for k, w in {**traced.weights, **traced.buffers}.items()}
        held: Arrays = self.setting.arrays.get(owner, {})
        if {k: tuple(v.shape) for k, v in held.items()} != needs:
            made = make_arrays(traced, row.name, self.setting.seed, self.setting.drawn)
            held = {k: self._put_array(row, k, v) for k, v in made.items()}
            self.setting.arrays[row.name] = held
        return held

    def _owner(self, row: Row) -> str:
        owners = {r.name: r.shared for r in self.net.rows if r.shared}
        name = row.name
        while name in owners:
            name = owners.pop(name) or name
        return name

    def _is_finite(self, row: Row, y: Any) -> bool:
        """Whether every value of `y` is; layers whose inputs were not are not reported."""
        if self.setting.device is None:
            return True
        endless, bad = self._unusual(y)
        if bad and not self.spoiled & set(row.inputs):
            self._say(*self._fault(row, y.size, endless, bad), row)
        if bad:
            self.spoiled.add(row.name)
        elif self.spoiled & set(row.inputs):
            self.spoiled.add(row.name)  # a comparison may hide what went in
        return not bad

    def _unusual(self, y: Any) -> tuple[int, int]:
        """How many values are infinite, and how many not finite."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        if self.setting.placer is None and self.setting.dtype == "float32":
            values = np.asarray(y)  # a view on the CPU
            if np.isfinite(values).all():
                return 0, 0
            return int(np.isinf(values).sum()), int((~np.isfinite(values)).sum())
        key = ("finite", self.setting.dtype)
        if key not in self.setting.programs:
            self.setting.programs[key] = jax.jit(
                lambda y: (jnp.isinf(y).sum(), (~jnp.isfinite(y)).sum())
            )
        endless, bad = self.setting.programs[key](y)
        return int(endless), int(bad)

    def _fault(self, row: Row, size: int, endless: int, bad: int) -> tuple[str, str]:
        """Code and words of values that are not finite."""
        dtype = self.setting.dtype
        if dtype == "float32" or not endless:
            return (
                "R003",
                f"{bad:,} of the {size:,} values that '{row.name}' computes are not finite",
            )
        largest = f"{LARGEST[dtype]:,.0f}" if dtype == "float16" else f"{LARGEST[dtype]:.2g}"
        text = f"in {dtype} {endless:,} of the {size:,} values that '{row.name}' computes "
        return "R016", f"{text}overflow to infinity (above {largest})"

    # --- comparing ---------------------------------------------------------------

    def _say(self, code: str, text: str, row: Row, note: bool = False) -> None:
        severity: Severity = "note" if note else "error"
        self.found.append(Diagnostic(code, severity, text, row.span, row.name))

    def _compare(self, row: Row, inputs: list[Shape], output: Shape, traced: Traced) -> RunRow:
        row, moved = _expected(row, inputs)
        real = {k: whole(w.shape) for k, w in traced.weights.items()}
        buffers = {k: whole(w.shape) for k, w in traced.buffers.items()}
        self._weights(row, "weight", real, row.weights)
        self._weights(row, "buffer", buffers, row.buffer_shapes)
        params = 0 if row.shared else sum(_size(shape) for shape in real.values())
        self._count(row, params)
        self._shared(row, real)
        detail = self._output(row, output)
        if moved and not detail:
            detail = "compared from the real size of its input, which is not the derived one"
        same = output[1:] == row.output
        return RunRow(whole(output[1:]), params, same, real, True, detail)

    def _output(self, row: Row, output: Shape) -> str:
        if output[:1] == (self.setting.batch,) and output[1:] == row.output:
            fits = row.name not in self.setting.misfits
            return "" if fits else f"it does not fit: JAX floors it to {volume(output[1:])}"
        if row.name in self.setting.misfits:
            return f"it does not fit: JAX gives {volume(output[1:])}, not {volume(row.output)}"
        real = volume(output[1:])
        if output[:1] != (self.setting.batch,):
            real = f"{volume(output)} without the batch of {self.setting.batch}"
        self._say("R001", f"the real output of '{row.name}' is {real}, "
                          f"derived {volume(row.output)}", row)  # fmt: skip
        return ""

    def _weights(
        self, row: Row, kind: str, real: Mapping[str, Shape], derived: Mapping[str, Shape]
    ) -> None:
        for name in dict.fromkeys((*derived, *real)):
            if name not in real:
                text = f"has no {kind} '{name}', derived {volume(derived[name])}"
            elif name not in derived:
                text = f"has a {kind} '{name}' of {volume(real[name])} that was not derived"
            elif real[name] != tuple(derived[name]):
                text = f"has {kind} '{name}' {volume(real[name])}, derived {volume(derived[name])}"
            else:
                continue
            if row.name not in self.setting.misfits:
                self._say("R002", f"the real '{row.name}' {text}", row)

    def _count(self, row: Row, params: int) -> None:
        if params != row.params and row.name not in self.setting.misfits:
            text = f"the real '{row.name}' has {params:,} parameters, derived {row.params:,}"
            self._say("R002", text, row)

    def _shared(self, row: Row, real: Mapping[str, Shape]) -> None:
        if row.shared is None or row.name in self.setting.misfits:
            return
        owner = next(r for r in self.net.rows if r.name == self._owner(row))
        if real != {name: tuple(shape) for name, shape in owner.weights.items()}:
            text = f"'{row.name}' cannot use the weights of '{owner.name}': the shapes differ"
            self._say("R002", text, row)

    def _refused(self, row: Row, error: Exception) -> RunRow:
        known = row.name in self.setting.misfits
        said = f"JAX does not run '{row.name}': {reason(error)}"
        self._say("R009", said, row, note=known)
        self.stop = self.stop or f"JAX does not run '{row.name}'"
        return RunRow(None, 0, False, detail=f"JAX refuses it: {reason(error)}")


def _expected(row: Row, inputs: list[Shape]) -> tuple[Row, bool]:
    """The row, derived anew where its real inputs are not the derived ones."""
    if inputs == [tuple(shape) for shape in row.input]:
        return row, False
    weights = row.layer.weights(inputs, row.dialect)
    counted = 0 if row.shared else sum(_size(shape) for shape in weights.values())
    return row._replace(
        input=tuple(inputs),
        output=row.layer.output(inputs, row.dialect),
        weights=weights,
        buffer_shapes=row.layer.buffers(inputs, row.dialect),
        params=counted,
    ), True


def _size(shape: Shape) -> int:
    return prod(whole(shape))


def _exhausted(row: Row, error: Exception) -> Problem:
    text = f"the device ran out of memory at '{row.name}': {reason(error)}"
    help_ = ["--run-only-shapes compares every shape without allocating", "try a smaller --batch"]
    return Problem("R004", text, row.span, help_)
