"""`gradients`: from a derived report to gradients, comparisons, findings and a verdict."""

from collections.abc import Callable
from math import prod
from typing import Any

from ..diagnostics import Diagnostic, Problem
from ..execute import whole
from ..jaxrun import memory
from ..jaxrun.devices import Device, open_device, out_of_memory, quiet, reason
from ..memory import training, volumes
from ..rows import Report
from ..stepmemory import step_bytes
from . import differences, engine, findings
from .network import Data, Key, Network, RefusedError, concrete, draw
from .results import SMALLER, Gradients, Options, Param, Status, Witness

Progress = Callable[[int, int, str], None]
TOLERANCE = 1e-8  # the largest difference from jax.grad, over the largest entry
ROUNDING = 1e-14  # beside the largest gradient of all: smaller differences say nothing
CANCELLED = 1e-10  # beside the layer's largest gradient: nothing but rounding
MOST_WORK, MOST_PARAMS = 4_000_000_000, 20_000_000  # above, differences are left out
EACH_WORK = 30_000_000_000  # multiply-adds that differences array by array may cost
QUICK_WORK = 300_000_000  # below, compiling takes longer than running
OVERHEAD = 5_000_000  # multiply-adds that a layer's calls cost at least


def gradients(report: Report, options: Options, progress: Progress | None = None) -> Gradients:
    """The gradients of a derived report, compared and judged.

    Nothing is raised for what the network or the machine does not allow: `status` and
    `detail` say it, `diagnostics` where it has a code.
    """
    why = refusal(report)
    if why:
        return Gradients("skipped", options, why)
    try:
        net = concrete(report, options)
        if options.engine == "symbolic":
            from .symbolic import formulas

            return formulas(net, options)
        if not net.wanted:
            return Gradients("agrees", options, "no layer has parameters to differentiate by")
        return _Run(net, options, progress).run()
    except Problem as problem:
        d = problem.diagnostic
        return Gradients("failed", options, d.message, diagnostics=(d,))
    except RefusedError as refused:
        return Gradients("skipped", options, str(refused))


def refusal(report: Report) -> str:
    """Why no gradient can be taken of this report; empty where one can."""
    if report.totals is None or not report.layers:
        return "there is nothing to run"
    if any(d.code[0] == "E" and d.severity == "error" for d in report.diagnostics):
        return "the spec has errors"
    wrong = [d for d in report.diagnostics if d.code[0] == "S"]
    bad = [d for d in wrong if d.severity == "error" or d.message.endswith("(as expected)")]
    if bad:
        return f"the sizes do not fit at '{bad[0].layer}'"
    return ""


class _Run:
    def __init__(self, net: Network, options: Options, progress: Progress | None) -> None:
        self.net, self.options, self.progress = net, options, progress
        self.held = sum(whole([row.params for row in net.report.layers]))
        self.done, self.total = 0, 2
        self.fitted = ""  # what is said of a batch made smaller

    @property
    def work(self) -> int:
        """Multiply-adds of one forward pass, and what its calls cost."""
        macs = sum(whole([row.macs for row in self.net.report.layers]))
        return self.options.batch * macs + OVERHEAD * len(self.net.report.layers)

    @property
    def small(self) -> bool:
        """Whether finite differences are within reach."""
        return self.work <= MOST_WORK and self.held <= MOST_PARAMS

    def run(self) -> Gradients:
        with quiet():
            device, absent = self._device()
            self._require(device)
            try:
                return self._result(device, absent)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                raise Problem("R004", f"the memory ran out: {reason(error)}") from None

    def _device(self) -> tuple[Device | None, Diagnostic | None]:
        try:
            return open_device(None), None
        except Problem as problem:
            if self.options.engine == "jax":
                raise
            return None, problem.diagnostic

    def _require(self, device: Device | None) -> None:
        """Raises `Problem` R004 before anything is allocated."""
        if device is None:
            return
        needed = needed_bytes(self.net, self.options.batch)
        free = memory.free_bytes(device)
        if free is not None and needed > free and self.options.fit:
            needed = self._fit(needed, free)
        if free is not None and needed > free:
            text = f"the gradients need {memory.in_words(needed)} ({needed:,} bytes) at batch "
            text += f"{self.options.batch}, but {memory.in_words(free)} are free"
            help_ = [SMALLER] if self.options.batch > 1 else []
            raise Problem("R004", f"{text} on {device.platform}", help=help_)

    def _fit(self, needed: int, free: int) -> int:
        """Takes the largest batch that fits, or one item; the bytes that it needs."""
        asked = self.options.batch
        less = (n for n in range(asked - 1, 1, -1) if needed_bytes(self.net, n) <= free)
        self.options = self.options._replace(batch=next(less, 1))
        self.fitted = (
            f"batch {self.options.batch} in place of {asked}, which needs "
            f"{memory.in_words(needed)} where {memory.in_words(free)} are free"
        )
        return needed_bytes(self.net, self.options.batch)

    def _result(self, device: Device | None, absent: Diagnostic | None) -> Gradients:
        net, options = self.net, self.options
        data = draw(net, options)
        self._tick("forward and backward")
        ours = self._ours(data, device)
        terms = tuple(t._replace(value=v) for t, v in zip(net.terms, ours.losses, strict=True))
        base = Gradients(
            "agrees", options, sizes=net.sizes, loss=sum(ours.losses),
            terms=terms, remarks=self._remarks(),
        )  # fmt: skip
        bad = self._not_finite(ours)
        if bad is not None:
            return base._replace(status="disagrees", detail=bad.message, diagnostics=(bad,))
        by_jax, jax_witness, failures = self._jax(data, ours, device, absent)
        each, witness = self._differences(data, ours)
        params = self._params(data, ours, by_jax, each)
        known = [p.jax for p in params if p.jax is not None]
        jax_witness = jax_witness._replace(worst=max(known, default=None))
        self._finished()
        units = findings.units_of(net, ours.alive)
        depth = findings.depth_of(net, params) if options.at is None else None
        found = (*findings.findings(net, params, units, depth, terms), *failures)
        if witness.worst is not None and not each and witness.worst > differences.JOINT_TOLERANCE:
            text = "along random directions the loss changes otherwise than the gradients say: "
            text += f"relative error {witness.worst:.0e}"
            found = (*found, Diagnostic("R011", "error", text))
        wrong = any(d.code in ("R011", "R009") for d in found)
        status: Status = "disagrees" if wrong else "failed" if absent else "agrees"
        return base._replace(
            status=status, params=params, units=units, depth=depth, jax=jax_witness,
            differences=witness, diagnostics=found,
        )  # fmt: skip

    # --- the three witnesses -----------------------------------------------------

    def _ours(self, data: Data, device: Device | None) -> engine.Outcome:
        try:
            if self.options.engine == "jax":
                assert device is not None
                with self._precisely(device):
                    return engine.by_jax(self.net, data, device.handle)
            return engine.by_numpy(self.net, data)
        except NotImplementedError as missing:
            raise RefusedError(f"the engine has no '{missing}' layer yet") from None

    def _precisely(self, device: Device) -> Any:
        """JAX in float64, on the device, without shortcuts such as TF32."""
        from contextlib import ExitStack
        from importlib import import_module

        import jax

        x64 = getattr(jax, "enable_x64", None)
        if x64 is None:  # older versions have it among the experiments
            x64 = import_module("jax.experimental").enable_x64
        stack = ExitStack()
        stack.enter_context(x64(True))
        stack.enter_context(jax.default_device(device.handle))
        stack.enter_context(jax.default_matmul_precision("highest"))
        return stack

    def _jax(
        self, data: Data, ours: engine.Outcome, device: Device | None, absent: Diagnostic | None
    ) -> tuple[Any, Witness, tuple[Diagnostic, ...]]:
        if device is None:
            detail = absent.message if absent else ""
            return None, Witness(False, None, detail), (absent,) if absent else ()
        from .reference import gradients as by_reference

        self._tick("jax.grad of the reference")
        try:
            with self._precisely(device):
                free, quickly = memory.free_bytes(device), self.work < QUICK_WORK
                loss, grads = by_reference(self.net, data, device.handle, quickly, free)
            detail, found = "jax.grad of the lax reference", self._same(ours, loss)
        except Problem:
            raise
        except Exception as error:  # whatever a layer's reference raises
            if out_of_memory(error):
                raise
            text = f"JAX does not differentiate the reference: {reason(error)}"
            return None, Witness(False, None, text), (Diagnostic("R009", "error", text),)
        return grads, Witness(True, None, detail), found

    def _same(self, ours: engine.Outcome, loss: float) -> tuple[Diagnostic, ...]:
        """R011 where the losses themselves differ."""
        total = sum(ours.losses)
        if abs(total - loss) <= TOLERANCE * max(abs(total), abs(loss), 1):
            return ()
        text = f"the loss is {total:.10g} by the engine and {loss:.10g} by the reference"
        return (Diagnostic("R011", "error", text),)

    def _differences(
        self, data: Data, ours: engine.Outcome
    ) -> tuple[dict[Key, float | None], Witness]:
        if not (self.small or self.options.full):
            limits = f"{MOST_WORK / 1e9:.0f} G multiply-adds or {MOST_PARAMS / 1e6:.0f} M "
            detail = f"left out above {limits}parameters; --full runs them"
            return {}, Witness(False, None, detail)
        keys = self.net.wanted
        calls = 2 * differences.DIRECTIONS * len(keys)
        each = calls * self.work <= EACH_WORK

        def loss(params: Any) -> float:
            return engine.total_loss(self.net, data, params)

        args = (loss, data.params, ours.grads, keys, self.options.seed % (1 << 63))
        self.total += differences.DIRECTIONS * len(keys) if each else differences.JOINT
        if each:
            errors = differences.of_arrays(*args, self._tick)
            known = [e for e in errors.values() if e is not None]
            detail = f"along {differences.DIRECTIONS} random directions of every array"
            return errors, Witness(True, max(known, default=None), detail)
        worst = differences.of_all(*args, self._tick)
        detail = f"along {differences.JOINT} random directions of all arrays at once"
        return {}, Witness(True, worst, detail)

    # --- judging -----------------------------------------------------------------

    def _params(
        self, data: Data, ours: engine.Outcome, by_jax: Any, each: dict[Key, float | None]
    ) -> tuple[Param, ...]:
        import numpy as np

        keys, grads = self.net.wanted, ours.grads
        top: dict[str, float] = {}
        for layer, name in keys:
            here = float(np.abs(grads[layer][name]).max(initial=0.0))
            top[layer] = max(top.get(layer, 0.0), here)
        noise = ROUNDING * max(top.values())
        reach = findings.reached(self.net)
        found = []
        for layer, name in keys:
            g, w = grads[layer][name], data.params[layer][name]
            other = None if by_jax is None else by_jax[layer][name]
            size = float(np.linalg.norm(w))
            norm = float(np.linalg.norm(g))
            p = Param(
                layer, name, tuple(g.shape), norm, float(np.abs(g).max(initial=0.0)),
                norm / size if size else None, _distance(g, other, noise), each.get((layer, name)),
            )  # fmt: skip
            found.append(self._judged(p, g, other, top[layer], reach))
        return tuple(found)

    def _judged(self, p: Param, g: Any, other: Any, top: float, reach: set[str]) -> Param:
        import numpy as np

        theirs = p.largest if other is None else float(np.abs(other).max(initial=0.0))
        cut = CANCELLED * top
        if p.largest <= cut and theirs <= cut and not (p.differences or 0) > 1e-3:
            why = findings.why_none(self.net, p.layer, p.largest == 0, reach)
            jax = p.jax if p.largest == theirs == 0 else None
            return p._replace(verdict="none", detail=why, jax=jax)
        parts = []
        if p.jax is not None and not p.jax <= TOLERANCE:
            parts.append(f"differs from jax.grad by {p.jax:.0e} of its largest entry")
        if p.differences is not None and not p.differences <= differences.TOLERANCE:
            parts.append(f"differs from finite differences by {p.differences:.0e}")
        if parts:
            return p._replace(verdict="disagrees", detail=" and ".join(parts))
        known = p.jax is not None or p.differences is not None
        return p._replace(verdict="agrees" if known else "unchecked")

    def _not_finite(self, ours: engine.Outcome) -> Diagnostic | None:
        import numpy as np

        if ours.broken is not None:
            row = next(r for r in self.net.report.layers if r.name == ours.broken)
            text = f"values that '{row.name}' computes are not finite: no gradient is taken"
            return Diagnostic("R003", "error", text, row.span, row.name)
        for layer, name in reversed(self.net.wanted):
            if not np.isfinite(ours.grads[layer][name]).all():
                row = self.net.report.row(layer)
                text = f"the gradient of '{layer}' {name} is not finite"
                return Diagnostic("R003", "error", text, row.span, layer)
        return None

    def _remarks(self) -> tuple[str, ...]:
        ops = {row.op for row in self.net.report.layers}
        found = [self.fitted] if self.fitted else []
        if "batchnorm" in ops:
            found.append("batch normalisation uses the batch's own statistics, as in training")
        if "dropout" in ops:
            found.append("dropout is left out")
        return tuple(found)

    def _tick(self, name: str) -> None:
        if self.progress is not None:
            self.progress(min(self.done, self.total - 1), self.total, name)
        self.done += 1

    def _finished(self) -> None:
        if self.progress is not None:
            self.progress(self.total, self.total, "")


def needed_bytes(net: Network, batch: int) -> int:
    """Parameters, their gradients and JAX's copies of both, and a step on the engine or one of
    the reference under XLA, whichever takes more."""
    rows, inputs = net.report.layers, net.report.input_shapes
    kept = volumes(rows, inputs, net.report.outputs)
    item = sum(whole([training(0, 0, rows, kept)])) // 4
    shapes = [w for row in rows if not row.shared for w in row.weights.values()]
    held = sum(prod(whole(shape)) for shape in shapes)
    return 32 * held + max(16 * batch * item, step_bytes(rows, inputs, batch, 8))


def _distance(g: Any, other: Any, noise: float) -> float | None:
    """The largest difference over the largest entry of either; None where both are lost in
    the rounding of larger gradients."""
    if other is None:
        return None
    import numpy as np

    largest = max(float(np.abs(g).max(initial=0.0)), float(np.abs(other).max(initial=0.0)))
    distance = float(np.abs(g - other).max(initial=0.0))
    if TOLERANCE * largest < distance <= noise:
        return None
    return distance / largest if largest else 0.0
