"""What `train` was asked to do, and what that means for this run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..scaling.mesh import Scale

ENGINES = ("numpy", "jax")
OPTIMIZERS = ("sgd", "momentum", "adam")
RATES = {"sgd": 0.05, "momentum": 0.01, "adam": 0.001}
BATCH, EPOCHS = 32, 10  # on data
SANITY_BATCH, SANITY_STEPS, SANITY_LEAST = 8, 1000, 200  # on one random batch
SAVE_EVERY = 50  # steps, on one random batch
FORMATS = ("text", "json")


class TrainingError(Exception):
    """Why training cannot start or go on: one message."""


class TrainOptions(NamedTuple):
    """The command line of `train`; None where an option was not given."""

    spec: str
    data: str | None = None
    engine: str | None = None
    device: str | None = None
    optimizer: str | None = None
    batch: int | None = None
    epochs: int | None = None
    steps: int | None = None
    lr: float | None = None
    seed: int | None = None
    save: str | None = None
    save_every: int | None = None
    resume: str | None = None
    set: tuple[str, ...] = ()
    dialect: str | None = None
    format: str = "text"
    scale: Scale = Scale()


class Settings(NamedTuple):
    """How one run goes, every value decided."""

    engine: str
    device: str | None
    optimizer: str
    lr: float
    batch: int
    seed: int
    epochs: int | None  # None: one random batch
    steps: int | None  # None: as many as the epochs have, or until it is learned
    data: str | None  # the file's name
    save: str | None
    save_every: int | None  # None: every epoch, or SAVE_EVERY steps
    scale: Scale = Scale()


def decide(options: TrainOptions, saved: Mapping[str, Any] | None) -> Settings:
    """Options, then what a resumed run had, then defaults; raises `TrainingError`."""
    had = saved or {}
    if options.epochs is not None and options.data is None:
        raise TrainingError("--epochs needs --data; a random batch takes --steps")
    for name in ("optimizer", "batch", "seed"):
        given = getattr(options, name)
        if saved is not None and given is not None and given != had[name]:
            raise TrainingError(
                f"the saved run has {name} {had[name]}, not {given}: leave out --{name}"
            )
    if saved is not None and (options.data is None) != (had["data"] is None):
        what = "one random batch" if had["data"] is None else "data: give them with --data"
        raise TrainingError(f"the saved run trained on {what}")
    scaled = options.scale.mesh is not None or options.scale.dtype != "float32"
    engine = options.engine or ("jax" if scaled else had.get("engine") or "numpy")
    if scaled and engine != "jax":
        given = "--mesh" if options.scale.mesh is not None else f"--dtype {options.scale.dtype}"
        raise TrainingError(f"{given} needs --engine jax")
    if options.device is not None and engine != "jax":
        raise TrainingError("--device needs --engine jax")

    def first(name: str, default: Any) -> Any:
        given = getattr(options, name)
        return given if given is not None else had.get(name) or default

    optimizer = first("optimizer", "adam")
    sanity = options.data is None
    lr = first("lr", RATES[optimizer])
    if not 0 < lr < float("inf"):
        raise TrainingError(f"--lr must be a number above 0, not {lr}")
    epochs, steps = None if sanity else first("epochs", EPOCHS), first("steps", None)
    if options.steps is not None and options.epochs is None:
        epochs = None  # as many as the steps need
    if options.epochs is not None and options.steps is None:
        steps = None
    return Settings(
        engine=engine, device=options.device, optimizer=optimizer, lr=lr,
        batch=first("batch", SANITY_BATCH if sanity else BATCH), seed=first("seed", 0),
        epochs=epochs, steps=steps, data=options.data,
        save=options.save or options.resume, save_every=options.save_every,
        scale=options.scale,
    )  # fmt: skip


def total_steps(settings: Settings, each: int) -> int:
    """The most steps a run takes, with `each` steps in an epoch."""
    limits = [settings.steps] if settings.steps is not None else []
    if settings.epochs is not None:
        limits.append(settings.epochs * each)
    return min(limits, default=SANITY_STEPS)
