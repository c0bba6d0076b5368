"""`check`: derive, judge, compare, and run: one report per spec and dialect."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .diagnostics import Diagnostic, Problem
from .dialects import dialect as dialect_of
from .network import Network, open_source, read_network, unread
from .rows import Report, RunReport
from .source import Source

if TYPE_CHECKING:
    from .scaling.mesh import Scale

Progress = Callable[[int, int, str], None]


def check(
    spec: "str | os.PathLike[str] | Source | Network",
    *,
    run: bool = True,
    only_shapes: bool = False,
    sets: Mapping[str, Any] | None = None,
    dialect: str | None = None,
    device: str | None = None,
    batch: int = 1,
    seed: int = 0,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    progress: Progress | None = None,
    grad: bool = False,
    scale: "Scale | None" = None,
    convention: str | None = None,
) -> Report:
    """Derives a spec, compares its answers and budget, and runs it on JAX.

    `scale` says over which devices and in which precision; raises `ScaleError` where the
    batch does not divide over its mesh.

    `convention` counts operations as another tool does (`cnncalc reconcile` lists them).
    `grad` compares the gradients of all parameters too. `spec` is a path, a bundled name, a
    text, or a `Network`. Problems are in
    `report.diagnostics`; nothing is raised for what is wrong with the spec.

    >>> report = check("alexnet", run=False)
    >>> report.ok, report.totals.params
    (True, 62378344)
    """
    report = _derived(spec, sets or {}, dialect, convention)
    if report.totals is None or report.status() == 2:
        detail = "the spec could not be read"
        report = report._replace(run=RunReport("skipped", detail=detail))
    else:
        if scale is not None and scale.mesh is not None:
            batch = batch if batch > 1 else scale.mesh.data
            report = _placed(report, scale, batch)
        if run and report.status() != 2:
            from .jaxrun import RunOptions
            from .jaxrun import run as run_on_jax

            options = RunOptions(device, batch, seed, only_shapes)
            if scale is not None:
                options = options._replace(scale=scale)
            report = run_on_jax(report, options, progress)
    if grad and report.totals is not None:
        report = _with_gradients(report, batch, seed, progress)
    return _selected(report, select, ignore)


def _placed(report: Report, scale: "Scale", batch: int) -> Report:
    """The report with its placement on a mesh; R004 where that does not fit the memory given."""
    from .scaling.mesh import ScaleError
    from .scaling.plan import derive, even

    assert scale.mesh is not None
    even(scale.mesh, batch)
    if report.symbols:
        given = " ".join(f"--set {name}=..." for name in report.symbols)
        raise ScaleError(f"--mesh needs numbers for {', '.join(report.symbols)}: give {given}")
    if any(row.assumed for row in report.layers):
        return report  # the sizes are not what was meant
    plan = derive(report, scale, batch)
    report = report._replace(placement=plan)
    if plan.device_memory is None or plan.forward.total <= plan.device_memory:
        return report
    text = (
        f"a device holds {plan.forward.total:,} bytes of the run on {plan.mesh} with batch "
        f"{batch}, more than --device-memory {plan.device_memory:,}"
    )
    fits = [str(c.mesh) for c in plan.choices if c.forward.total <= plan.device_memory]
    help_ = [f"--mesh {fits[0]} fits"] if fits else ["more devices, or a smaller --batch"]
    why = Diagnostic("R004", "error", text, help=tuple(help_))
    return report._replace(
        diagnostics=(*report.diagnostics, why), run=RunReport("failed", detail=text)
    )


def _with_gradients(report: Report, batch: int, seed: int, progress: Progress | None) -> Report:
    """The report with the gradients compared; a batch of 1 says too little, so that 4 are run."""
    from .gradients import BATCH, Options, gradients

    options = Options(batch=batch if batch > 1 else BATCH, seed=seed, fit=batch == 1)
    found = gradients(report, options, progress)
    return report._replace(grad=found, diagnostics=(*report.diagnostics, *found.diagnostics))


def _derived(
    spec: "str | os.PathLike[str] | Source | Network", sets: Mapping[str, Any],
    dialect: str | None, convention: str | None,
) -> Report:  # fmt: skip
    network = read(spec, sets, dialect)
    return network if isinstance(network, Report) else network.derive(convention)


def read(
    spec: "str | os.PathLike[str] | Source | Network",
    sets: Mapping[str, Any] | None = None,
    dialect: str | None = None,
) -> Network | Report:
    """The network of a spec, or a report of why it cannot be read at all; never raises."""
    if isinstance(spec, Network):
        return spec
    try:
        override = dialect_of(dialect) if dialect else None
        source = open_source(spec)
    except Problem as problem:
        source = spec if isinstance(spec, Source) else Source("", os.fspath(spec))
        return unread(source, [problem.diagnostic])
    return read_network(source, {k: str(v) for k, v in (sets or {}).items()}, override)


def _selected(report: Report, select: Sequence[str], ignore: Sequence[str]) -> Report:
    """Keeps the diagnostics asked for, by code or prefix; E codes always stay."""
    if not select and not ignore:
        return report
    kept = tuple(d for d in report.diagnostics if d.code[0] == "E" or _wanted(d, select, ignore))
    return report._replace(diagnostics=kept)


def _wanted(d: Diagnostic, select: Iterable[str], ignore: Iterable[str]) -> bool:
    chosen = not select or any(d.code.startswith(code) for code in select)
    return chosen and not any(d.code.startswith(code) for code in ignore)
