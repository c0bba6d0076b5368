"""`run`: the whole second opinion on a report, from the device to the verdict."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple

from ..diagnostics import Diagnostic, Problem
from ..rows import Report, Row, RunReport, RunRow
from ..scaling import cluster
from ..scaling.mesh import WIDTHS, Scale
from . import memory
from .allsizes import AllSizes, prove
from .cache import compilations
from .devices import Device, open_device, quiet
from .forward import Outcome, Progress, Setting, forward
from .params import Ahead, ahead
from .probe import unread
from .sizes import Env, Net, Sizes, at

DRAWN = 3
UNREAD = ("S001", "W005")  # a stride that does not fit; real values never read
Status = Literal["agrees", "disagrees", "skipped", "failed"]


class RunOptions(NamedTuple):
    """How to run: where, how many items at once, from which seed, and whether for real."""

    device: str | None = None
    batch: int = 1
    seed: int = 0
    only_shapes: bool = False
    scale: Scale = Scale()


def run(report: Report, options: RunOptions, progress: Progress | None = None) -> Report:
    """`report` with what running the network on JAX showed: rows, verdict, R diagnostics.

    `progress` is called with the number of layers done, their total, and the next one's name.
    """
    if not report.layers or report.totals is None:
        return report._replace(run=RunReport("skipped", detail="there is nothing to run"))
    options = options._replace(seed=options.seed % (1 << 63))  # seeds may be negative
    platform = None
    early = _early(report, options)
    try:
        with quiet():
            if options.scale.cluster is not None:
                cluster.join(options.scale.cluster)
            device = open_device(options.device)
            platform = device
            with compilations(options.scale.cluster is None):
                found = _Run(report, options, device, early, progress).run()
            if options.scale.cluster is not None:
                cluster.leave()
            return found
    except Problem as problem:
        return _failed(report, problem.diagnostic, platform)
    finally:
        if early.drawn is not None:
            early.drawn.stop()


class _Early(NamedTuple):
    """What is begun before JAX is loaded: bytes then free on the host, parameters being drawn."""

    spare: int | None = None
    drawn: Ahead | None = None


def _early(report: Report, options: RunOptions) -> _Early:
    if report.symbols or options.only_shapes or options.scale.mesh is not None:
        return _Early()
    spare, net = memory.host(), at(report, {})
    if spare is None or memory.needed_bytes(net, options.batch) > spare:
        return _Early(spare)
    return _Early(spare, ahead(net, options.seed, spare))


def _failed(report: Report, why: Diagnostic, device: Device | None) -> Report:
    platform, count = (device.platform, device.total) if device else (None, 0)
    return report._replace(
        run=RunReport("failed", platform, count, detail=why.message),
        diagnostics=(*report.diagnostics, why),
    )


class _Run:
    def __init__(
        self, report: Report, options: RunOptions, device: Device, early: _Early,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        import numpy as np

        self.report, self.options, self.device, self.early = report, options, device, early
        self.misfits = misfits(report)
        self.random = np.random.default_rng([options.seed, 1])
        self.progress, self.done, self.total = progress, 0, len(report.layers)
        self.placer = self._placer()

    def _placer(self) -> Any:
        """Where a mesh puts arrays; refused where it does not fit or the devices are too few."""
        plan, mesh = self.report.placement, self.options.scale.mesh
        if plan is None or mesh is None or self.options.only_shapes:
            return None
        from ..scaling.placing import Placer

        return Placer(mesh, self.device, plan.weights)

    def run(self) -> Report:
        sizes = self._sizes()
        nets = [at(self.report, env) for env in sizes]
        symbolic = bool(self.report.symbols)
        self.total *= len(nets) + symbolic
        self._require(nets)
        with self._placed():
            outcomes = self._outcomes(nets)
            proof = prove(self.report, self.misfits, self.random, self._tick) if symbolic else None
            notes = unread(nets[0], self._shown(outcomes[0]))
        self._finished()
        found = _merged(outcomes, sizes if symbolic else [])
        found += proof.diagnostics if proof else ()
        return self._result(outcomes, found, notes, proof, sizes)

    def _placed(self) -> Any:
        import jax

        return nullcontext() if self.options.only_shapes else jax.default_device(self.device.handle)

    def _sizes(self) -> list[dict[str, int]]:
        if not self.report.symbols:
            return [{}]
        drawn = Sizes(self.report, self.misfits).draw(DRAWN, self.random)
        if not drawn:
            names = ", ".join(self.report.symbols)
            text = f"no sizes for {names} were found at which every layer works"
            raise Problem("R010", text, help=["widen their domains under `assume:`"])
        return drawn

    def _require(self, nets: Iterable[Net]) -> None:
        if self.placer is not None and self.report.placement is not None:
            parts = self.placer.local if self.device.platform == "cpu" else 1
            needed = parts * self.report.placement.forward.total
            memory.require(needed, self.device, self.options.batch)
        elif not self.options.only_shapes:
            width = WIDTHS[self.options.scale.dtype]
            needed = max(memory.needed_bytes(net, self.options.batch, width) for net in nets)
            memory.require(needed, self.device, self.options.batch, self.early.spare)

    def _outcomes(self, nets: Iterable[Net]) -> list[Outcome]:
        device = None if self.options.only_shapes else self.device
        scale = self.options.scale
        setting = Setting(
            device, self.options.batch, self.options.seed, self.misfits, {}, {}, scale.dtype,
            self.placer, scale.cluster, self.early.drawn,
        )  # fmt: skip
        found = [forward(net, setting, self._tick) for net in nets]
        if self.placer is not None:
            found[0] = self._weighed(found[0], setting)
        return found

    def _weighed(self, outcome: Outcome, setting: Setting) -> Outcome:
        """The outcome, with what JAX placed on a device beside the derived bytes."""
        from ..scaling.placing import bytes_placed

        plan = self.report.placement
        assert plan is not None
        trained = {(p.layer, p.name) for p in plan.weights}
        held = [(o, n, a) for o, named in setting.arrays.items() for n, a in named.items()]
        real = {
            "parameters": bytes_placed(a for o, n, a in held if (o, n) in trained),
            "buffers": bytes_placed(a for o, n, a in held if (o, n) not in trained),
        }
        self.report = self.report._replace(placement=plan._replace(measured=real))
        if any(row.output is None for row in outcome.rows):
            return outcome
        wrong = [
            f"{name}: {real[name]:,} bytes, derived {getattr(plan.forward, name):,}"
            for name in real
            if real[name] != getattr(plan.forward, name)
        ]
        if not wrong:
            return outcome
        text = f"JAX placed on a device other bytes than derived: {'; '.join(wrong)}"
        return outcome._replace(
            diagnostics=(*outcome.diagnostics, Diagnostic("R017", "error", text))
        )

    def _tick(self, name: str) -> None:
        if self.progress is not None:
            self.progress(min(self.done, self.total - 1), self.total, name)
        self.done += 1

    def _finished(self) -> None:
        if self.progress is not None:
            self.progress(self.total, self.total, "")

    def _shown(self, outcome: Outcome) -> set[str]:
        """Layers that ran, and that the derivation found to leave real values unread."""
        found = self.report.diagnostics
        early = {d.layer for d in found if d.code in UNREAD and d.severity != "note"}
        pairs = zip(self.report.layers, outcome.rows, strict=True)
        ran = {row.name for row, seen in pairs if seen.output and 0 not in seen.output}
        return {name for name in ran if name in early or name in self.misfits}

    # --- the verdict -------------------------------------------------------------

    def _result(
        self, outcomes: list[Outcome], found: list[Diagnostic], notes: list[Diagnostic],
        proof: AllSizes | None, sizes: list[dict[str, int]],
    ) -> Report:  # fmt: skip
        wrong = {d.layer for d in found if d.severity == "error"}
        rows = []
        for i, row in enumerate(self.report.layers):
            seen = [outcome.rows[i] for outcome in outcomes]
            rows.append(row._replace(run=_joined(row, seen, proof, wrong)))
        complete = all(_ran(row) for row in rows)
        errors = [d for d in found if d.severity == "error"]
        detail = self._detail(rows, errors, complete, proof, sizes)
        status: Status = "disagrees" if errors else "agrees" if complete else "failed"
        summary = RunReport(
            status, self.device.platform, self._devices(), self.options.scale.dtype, detail,
            all_sizes=proof.verdict if proof else "skipped",
        )  # fmt: skip
        diagnostics = (*self.report.diagnostics, *found, *notes)
        return self.report._replace(layers=tuple(rows), run=summary, diagnostics=diagnostics)

    def _devices(self) -> int:
        mesh = self.options.scale.mesh
        return self.device.total if mesh is None else mesh.devices

    def _detail(
        self, rows: list[Row], errors: list[Diagnostic], complete: bool,
        proof: AllSizes | None, sizes: list[dict[str, int]],
    ) -> str:  # fmt: skip
        ran = [row for row in rows if _ran(row)]
        params = sum(row.run.params for row in ran if row.run)
        verb = "traced" if self.options.only_shapes else "ran"
        of = "" if complete else f" of {len(rows)}"
        text = f"{verb} {len(ran)}{of} layer{'s' if len(rows) > 1 else ''}, {params:,} parameters"
        text += " without allocating" if self.options.only_shapes else f" on {self.device.platform}"
        text += f" over {self.options.scale.mesh}" if self.placer is not None else ""
        if sizes[0]:
            text += " at " + "; ".join(_sizes_text(env) for env in sizes)
        text += ": " + _judgement(rows, errors, complete)
        floored = [row.name for row in rows if row.name in self.misfits and _ran(row)]
        text += f"; {_names(floored)} did not fit" if floored else ""
        return text + (f"; {proof.detail}" if proof else "")


def misfits(report: Report) -> frozenset[str]:
    """The layers that do not work, by the derivation's own account."""
    return frozenset(filter(None, map(_misfit, report.diagnostics)))


def _misfit(d: Diagnostic) -> str | None:
    """The layer of a size diagnostic that says the layer does not work."""
    known = d.severity == "error" or d.message.endswith("(as expected)")
    return d.layer if d.code.startswith("S") and known else None


def _judgement(rows: list[Row], errors: list[Diagnostic], complete: bool) -> str:
    if errors:
        names = list(dict.fromkeys(d.layer or "" for d in errors))
        return f"{len(errors)} disagreement{'s' * (len(errors) > 1)} ({_names(names)})"
    if complete:
        return "every shape, weight and count agrees"
    first = next(row for row in rows if not _ran(row))
    agreed = "what ran agrees; " if _ran(rows[0]) else ""
    return f"{agreed}it stops at '{first.name}': {first.run.detail if first.run else ''}"


def _ran(row: Row) -> bool:
    """Whether the layer gave values: it was run, and its output is not empty."""
    return row.run is not None and row.run.output is not None and 0 not in row.run.output


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _sizes_text(env: Env) -> str:
    return ", ".join(f"{name} = {value}" for name, value in env.items())


def _joined(row: Row, seen: list[RunRow], proof: AllSizes | None, wrong: set[str | None]) -> RunRow:
    """One layer over all the sizes it was run at: the first size's shapes."""
    first = seen[0]
    agrees = all(r.agrees for r in seen) and row.name not in wrong
    detail = next((r.detail for r in seen if r.detail), "")
    if proof is not None and not detail:
        known = proof.layers[row.name]
        words = {"proved": "proved for all sizes", "checked": f"checked at {known.points} sizes"}
        detail = words.get(known.verdict, known.counterexample)
    return first._replace(agrees=agrees, finite=all(r.finite for r in seen), detail=detail)


def _merged(outcomes: list[Outcome], sizes: list[dict[str, int]]) -> list[Diagnostic]:
    """Diagnostics of all passes, each layer's first of a code, with the sizes it arose at."""
    found: dict[tuple[str, str | None, str], Diagnostic] = {}
    for i, outcome in enumerate(outcomes):
        at_ = f" (at {_sizes_text(sizes[i])})" if sizes else ""
        for d in outcome.diagnostics:
            key = (d.code, d.layer, "" if sizes else d.message)
            found.setdefault(key, d._replace(message=d.message + at_))
    return list(found.values())
