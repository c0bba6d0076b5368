"""`train`: from a derived network to a verdict, step by step, saving on the way."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite, log
from typing import Any, Literal, NamedTuple

from ..diagnostics import Problem
from ..execute import Arrays, initialise, whole
from ..jaxrun import memory
from ..jaxrun.devices import Device, open_device, out_of_memory, quiet
from ..rows import BYTES, Report
from ..scaling import cluster
from ..scaling.mesh import ScaleError
from ..scaling.placing import Placer
from ..scaling.plan import Plan, derive, even
from ..source import shorten
from ..stepmemory import step_bytes
from . import saving
from .data import Batch, Data, guessing, main_output, order, random_batch, read_npz, task_of
from .engines import Engine, JaxEngine, Model, NumpyEngine, Outcome
from .optimisers import SLOTS, fresh
from .saving import State
from .settings import (
    SANITY_LEAST,
    SAVE_EVERY,
    Settings,
    TrainingError,
    TrainOptions,
    decide,
    total_steps,
)

GOAL = 0.1  # a batch is known by heart below this share of ln(classes)
BETTER = 0.9  # data are learned from below this share of the loss of guessing
Verdict = Literal["learns", "does not learn", "interrupted", "not finite"]
Progress = Callable[[int, int, Outcome | None], None]


class Result(NamedTuple):
    """What came of a run."""

    settings: Settings
    items: int
    classes: int
    parameters: int
    losses: list[float]
    hits: list[float]
    accuracy: float | None
    test_accuracy: float | None
    seconds: float  # of this call
    first_step: int  # where this call went on from; 0 for a new run
    guess: float  # the loss of guessing
    verdict: Verdict
    saved: str | None
    note: str  # what of the network was trained, where that is not all of it
    plan: Plan | None = None  # with a mesh: where it was placed

    @property
    def steps(self) -> int:
        return len(self.losses)


class Interrupts:
    """Whether Ctrl-C was pressed, or SIGTERM sent: the step is finished first. A second one
    is obeyed at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.seen = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in self.SIGNALS}

        def note(number: int, frame: Any) -> None:
            self.seen = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, before[signal.SIGTERM])

        for number in self.SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def train(
    report: Report,
    options: TrainOptions,
    progress: Progress | None = None,
    planned: Callable[[Plan], None] | None = None,
) -> Result:
    """Trains the network of a concrete report; raises `TrainingError`.

    `planned` is given the derived placement on a mesh, before anything is allocated.
    """
    interrupts, among = Interrupts(), options.scale.cluster
    run: _Run | None = None
    try:
        with interrupts.watched(), quiet():
            if among is not None:
                cluster.join(among)
            run = _Run(report, options, progress, interrupts)
            if planned is not None and run.plan is not None:
                planned(run.plan)
            result = run.run()
            if among is not None and result.verdict != "interrupted":
                cluster.leave()
            return result
    except Problem as problem:  # JAX or the device is absent
        found = problem.diagnostic
        raise TrainingError("\n  = help: ".join([found.message, *found.help])) from None
    except Exception as error:
        if among is not None and run is not None and cluster.broken(error):
            raise TrainingError(f"{cluster.died(among)}: {run.left()}") from None
        if out_of_memory(error):
            raise TrainingError("memory ran out: a smaller --batch needs less") from None
        raise


class _Run:
    def __init__(
        self, report: Report, options: TrainOptions, progress: Progress | None,
        interrupts: Interrupts,
    ) -> None:  # fmt: skip
        self.report, self.progress, self.interrupts = report, progress, interrupts
        saved = saving.about(options.resume, report) if options.resume else None
        self.settings = decide(options, saved)
        self.resume = options.resume
        self.saved_step = saved["step"] if saved else None
        among = options.scale.cluster
        self.alone = among is None
        self.first = among is None or among.process == 0  # who writes the file
        self.kept: int | None = None  # the last step saved
        if self.settings.save and self.first:
            saving.writable(self.settings.save)
        self.task = task_of(report)
        self.data = self._data(saved)
        # A last, smaller batch would need a program of its own: its items come in later epochs.
        self.size = min(self.settings.batch, self.data.items)
        self.each = max(1, self.data.items // self.size)
        self.total = total_steps(self.settings, self.each)
        self.guess = (
            log(self.task.classes)
            if self.sanity
            else guessing(self.data.train.labels, self.task.classes)
        )

    @property
    def sanity(self) -> bool:
        return self.settings.data is None

    def _data(self, saved: Mapping[str, Any] | None) -> Data:
        if self.settings.data is None:
            self._require(self.settings.batch)
            return random_batch(self.task, self.settings.batch, self.settings.seed)
        data = read_npz(self.settings.data, self.task)
        if saved is not None and saved["data"] != data.fingerprint:
            raise TrainingError(
                f"'{self.settings.data}' has other data than the saved run trained on"
            )
        self._require(min(self.settings.batch, data.items))
        return data

    def _placement(self, batch: int) -> Plan:
        """The derived placement; refused where it does not fit, or the batch does not divide."""
        scale = self.settings.scale
        assert scale.mesh is not None
        try:
            even(scale.mesh, batch)
        except ScaleError as error:
            raise TrainingError(str(error)) from None
        plan = derive(self.report, scale, batch, self.settings.optimizer)
        if plan.fits is False:
            from ..report.placement import fitting

            raise TrainingError(
                f"training on {plan.mesh} with batch {batch} needs "
                f"{memory.in_words(plan.needed)} a device, more than "
                f"{memory.in_words(plan.device_memory or 0)}; {fitting(plan)}"
            )
        return plan

    def _require(self, batch: int) -> None:
        """Refuses beforehand what would not fit."""
        self.plan = self._placement(batch) if self.settings.scale.mesh is not None else None
        if self.plan is not None:
            return
        totals = self.report.totals
        assert totals is not None
        numbers = (totals.trainable, totals.buffers, totals.training_memory)
        params, buffers, one = whole(numbers)
        fixed = BYTES * (2 * params + buffers)
        item = one - fixed
        step = batch * item
        if self.settings.engine == "numpy":
            step = max(step, step_bytes(self.report.layers, self.report.input_shapes, batch))
        needed = fixed + BYTES * params * len(SLOTS[self.settings.optimizer]) + step
        device = self._device()
        free = memory.free_bytes(device)
        if free is not None and needed > free:
            raise TrainingError(
                f"training with batch {batch} needs {memory.in_words(needed)} ({needed:,} bytes), "
                f"but {memory.in_words(free)} are free on {device.platform}"
            )

    def _device(self) -> Device:
        if self.settings.engine == "numpy":
            return Device("cpu", 1, None)
        return open_device(self.settings.device)

    # --- the run -------------------------------------------------------------------

    def run(self) -> Result:
        state = self._start()
        engine = self._engine(state)
        self.losses, self.hits = list(state.losses), list(state.hits)
        began, first = time.perf_counter(), state.step
        verdict = self._steps(engine)
        if verdict == "interrupted" and not self.alone:
            return self._result(verdict, began, first, self.settings.save if self.kept else None)
        if verdict != "not finite" and not _finite(engine.arrays()[0]):
            verdict = "not finite"
        if self.plan is not None and isinstance(engine, JaxEngine):
            self.plan = self.plan._replace(measured=engine.measured())
        saved = None
        if self.settings.save and verdict != "not finite":
            self._save(engine)
            saved = self.settings.save
        test = None
        if self.data.test is not None and verdict in ("learns", "does not learn"):
            test = self._tested(engine, self.data.test)
        return self._result(verdict, began, first, saved, test)

    def _result(
        self, verdict: Verdict, began: float, first: int, saved: str | None,
        test: float | None = None,
    ) -> Result:  # fmt: skip
        return Result(
            self.settings._replace(batch=self.size), self.data.items, self.task.classes,
            sum(whole([row.params for row in self.report.layers])),
            self.losses, self.hits, self._accuracy(), test, time.perf_counter() - began, first,
            self.guess, verdict, saved, self._note(), self.plan,
        )  # fmt: skip

    def left(self) -> str:
        """What a run that breaks off leaves behind."""
        steps = len(getattr(self, "losses", []))
        text = f"the run stops after step {steps}"
        if self.kept is None or self.settings.save is None:
            return f"{text}; no step was saved (--save FILE saves)"
        name = shorten(self.settings.save, 200)
        return (
            f"{text}; step {self.kept} is saved: --resume {name} goes on, with any number of "
            "devices"
        )

    def _note(self) -> str:
        outputs = self.report.outputs
        several = len(outputs) > 1
        return f"output '{main_output(self.report)}' of {len(outputs)}" if several else ""

    def _start(self) -> State:
        params, buffers = initialise(self.report, self.settings.seed)
        slots = fresh(self.settings.optimizer, params)
        state = State(params, buffers, slots, 0, [], [])
        if self.resume:
            self.kept = self.saved_step
            return saving.load(self.resume, state, self.settings.optimizer)
        return state

    def _engine(self, state: State) -> Engine:
        # What is learned by heart is learned without dropout.
        scale = self.settings.scale
        model = Model(self.report, self.task, dropout=not self.sanity, dtype=scale.dtype)
        rest = (self.settings, state.params, state.buffers, state.slots)
        if self.settings.engine == "numpy":
            return NumpyEngine(model, *rest)
        device = self._device()
        if scale.mesh is not None and self.plan is not None:
            placer = Placer(scale.mesh, device, self.plan.weights)
            self._require_host(placer)
            model = model._replace(placer=placer)
        return JaxEngine(model, *rest, state.step, device.handle)

    def _require_host(self, placer: Placer) -> None:
        """Refuses what the free memory does not hold; virtual CPU devices share one."""
        assert self.plan is not None
        device = self._device()
        free = memory.free_bytes(device)
        needed = self.plan.needed * (placer.local if device.platform == "cpu" else 1)
        if free is not None and needed > free:
            raise TrainingError(
                f"training on {self.plan.mesh} needs {memory.in_words(needed)} here, "
                f"but {memory.in_words(free)} are free on {device.platform}"
            )

    def _steps(self, engine: Engine) -> Verdict:
        every = self.settings.save_every or (SAVE_EVERY if self.sanity else self.each)
        self._tell(None)
        while not self._done():
            if self.interrupts.seen:
                return "interrupted"
            number = len(self.losses) + 1
            outcome = engine.step(self._batch(number), number)
            if not isfinite(outcome.loss):
                return "not finite"
            self.losses.append(outcome.loss)
            self.hits.append(outcome.accuracy)
            self._tell(outcome)
            if self.settings.save and number % every == 0:
                self._save(engine)
        return "learns" if self._learned() else "does not learn"

    def _tell(self, outcome: Outcome | None) -> None:
        if self.progress is not None:
            self.progress(len(self.losses), self.total, outcome)

    def _batch(self, number: int) -> Batch:
        """The items of a step: every epoch has an order of its own."""
        if self.sanity:
            return self.data.train
        epoch, place = divmod(number - 1, self.each)
        if getattr(self, "epoch", None) != epoch:
            self.epoch, self.order = epoch, order(self.data.items, self.settings.seed, epoch)
        return _some(self.data.train, self.order[place * self.size : (place + 1) * self.size])

    def _done(self) -> bool:
        """All steps are made; or nobody asked for a number, and the batch is known by heart,
        or its loss has ceased to fall."""
        if len(self.losses) >= self.total or not self.sanity or self.settings.steps is not None:
            return len(self.losses) >= self.total
        stuck = len(self.losses) >= SANITY_LEAST and not falling(self.losses)
        return self._learned() or stuck

    def _learned(self) -> bool:
        if self.sanity:
            return bool(self.losses) and self.losses[-1] <= GOAL * self.guess
        return bool(self.losses) and self._recent(self.losses) <= BETTER * self.guess

    def _recent(self, values: list[float]) -> float:
        """The mean over the last epoch."""
        last = values[-self.each :]
        return sum(last) / len(last)

    def _accuracy(self) -> float | None:
        return self._recent(self.hits) if self.hits else None

    def _tested(self, engine: Engine, test: Batch) -> float | None:
        count = len(test.labels)
        right = 0.0
        for start in range(0, count, self.size):
            chosen = slice(start, min(start + self.size, count))
            right += engine.accuracy(_some(test, chosen)) * (chosen.stop - chosen.start)
        return right / count if count else None

    def _save(self, engine: Engine) -> None:
        assert self.settings.save
        params, buffers, slots = engine.arrays()
        if not _finite(params):
            return  # the last good file stays; the next step's loss tells
        self.kept = len(self.losses)
        if not self.first:
            return
        state = State(params, buffers, slots, len(self.losses), self.losses, self.hits)
        s = self.settings
        saving.save(self.settings.save, state, {
            "fingerprint": saving.fingerprint(self.report), "name": self.report.name,
            "engine": s.engine, "optimizer": s.optimizer, "lr": s.lr, "batch": s.batch,
            "seed": s.seed, "epochs": s.epochs, "steps": s.steps, "data": self.data.fingerprint,
        })  # fmt: skip


def falling(losses: list[float]) -> bool:
    """Whether the last quarter of the steps lies below the quarter before it."""
    n = max(1, len(losses) // 4)
    before, recent = losses[-2 * n : -n], losses[-n:]
    return bool(before) and sum(recent) / len(recent) < 0.98 * sum(before) / len(before)


def _some(batch: Batch, chosen: Any) -> Batch:
    inputs = {name: array[chosen] for name, array in batch.inputs.items()}
    return Batch(inputs, batch.labels[chosen])


def _finite(params: Arrays) -> bool:
    import numpy as np

    return all(bool(np.isfinite(a).all()) for named in params.values() for a in named.values())
