"""A run on disk: a safetensors file of every array, and its settings as one line of JSON.

The same run gives the same bytes. A file is written whole or not at all: to a temporary
name beside it, forced to disk, and then renamed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import writing
from ..execute import Arrays, whole
from ..rows import Report
from ..source import shorten
from .optimisers import SLOTS, Slots
from .settings import ENGINES, TrainingError

SCHEMA = "cnncalc.train/1"


class State(NamedTuple):
    """All that changes while a network is trained."""

    params: Arrays
    buffers: Arrays
    slots: Slots
    step: int
    losses: list[float]
    hits: list[float]  # the share of right answers in each step's batch


def fingerprint(report: Report) -> str:
    """Changes with any layer, field, size or convention; not with comments or answers."""
    lines = [f"{name} {shape}" for name, shape in report.input_shapes.items()]
    lines += [
        f"{row.name} {row.layer!r} {row.inputs} {row.output} {row.dialect.name} {row.shared}"
        for row in report.layers
    ]
    return hashlib.sha256("\n".join([*lines, repr(report.outputs)]).encode()).hexdigest()


def _library() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise TrainingError(
            "--save and --resume need safetensors, which is not installed: "
            "pip install 'cnncalc[train]'"
        ) from None
    return safetensors


def flat(prefix: str, arrays: Arrays) -> dict[str, Any]:
    """`prefix/layer/name` -> array."""
    return {f"{prefix}/{o}/{n}": a for o, named in arrays.items() for n, a in named.items()}


def writable(path: str) -> None:
    """Finds out at the start whether a file can be written at the end."""
    _library()
    try:
        writing.writable(path)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str, error: Exception) -> TrainingError:
    return TrainingError(f"cannot write '{shorten(path, 200)}': {writing.why(error)}")


def save(path: str, state: State, about: Mapping[str, Any]) -> None:
    """Writes the state and what it is about; the old file stays until the new one is whole."""
    import numpy as np

    library = _library()
    tensors = flat("params", state.params) | flat("buffers", state.buffers)
    for slot, arrays in state.slots.items():
        tensors |= flat(f"optimizer/{slot}", arrays)
    tensors |= {
        "history/loss": np.asarray(state.losses, "float64"),
        "history/accuracy": np.asarray(state.hits, "float64"),
    }
    tensors = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    # One entry: the library writes several in no fixed order.
    text = json.dumps({"schema": SCHEMA, "step": state.step, **about}, sort_keys=True)
    content = library.numpy.save(tensors, metadata={"cnncalc": text})
    try:
        writing.replace(path, content)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def about(path: str, report: Report) -> dict[str, Any]:
    """The settings in a saved run's header; raises where it is not a run of this network."""
    library = _library()
    shown = shorten(path, 200)
    try:
        with library.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("cnncalc")
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        found = json.loads(text) if text else {}
    except (OSError, library.SafetensorError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        reason = reason or "No such file or directory" * isinstance(error, FileNotFoundError)
        raise TrainingError(
            f"cannot resume '{shown}': {reason or 'it is not a whole safetensors file'}"
        ) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not _complete(found):
        raise TrainingError(f"cannot resume '{shown}': it was not saved by cnncalc train")
    if found.get("fingerprint") != fingerprint(report):
        raise TrainingError(
            f"'{shown}' was saved from another network than this spec describes: "
            + _difference(shapes, report)
        )
    return found


def _complete(found: Mapping[str, Any]) -> bool:
    """Whether a header has every setting of a run, of the right kind."""
    whole = all(type(found.get(n)) is int and found[n] >= 0 for n in ("step", "batch", "seed"))
    maybe = all(found.get(n) is None or type(found[n]) is int for n in ("epochs", "steps"))
    data = found.get("data")
    return (
        whole
        and maybe
        and found["batch"] > 0
        and found.get("optimizer") in SLOTS
        and found.get("engine") in ENGINES
        and isinstance(found.get("lr"), float)
        and (data is None or isinstance(data, str))
    )


def _difference(shapes: Mapping[str, tuple[int, ...]], report: Report) -> str:
    ours = {
        f"params/{row.name}/{name}": whole(shape)
        for row in report.layers
        if row.shared is None
        for name, shape in row.weights.items()
    }
    theirs = {name: shape for name, shape in shapes.items() if name.startswith("params/")}
    for name in [*ours, *theirs]:
        mine, saved = ours.get(name), theirs.get(name)
        if mine != saved:
            what = shorten(name.removeprefix("params/"), 80)
            return f"{what} is {_words(saved)} in the file and {_words(mine)} in the spec"
    return "its arrays have the same sizes, but a layer differs (a stride, a padding, a name)"


def _words(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape))


def load(path: str, like: State, optimizer: str) -> State:
    """The saved state; every array is checked against the one it replaces."""
    import numpy as np

    library = _library()
    shown = shorten(path, 200)
    try:
        with library.safe_open(path, framework="numpy") as file:
            step = json.loads(file.metadata()["cnncalc"])["step"]

            def take(name: str, wanted: Any) -> Any:
                found = file.get_tensor(name)
                same = wanted is None or found.shape == wanted.shape
                if not same or (wanted is not None and found.dtype != wanted.dtype):
                    raise ValueError(f"{name} has another shape or type")
                return np.array(found)

            def tree(prefix: str, arrays: Arrays) -> Arrays:
                return {
                    owner: {n: take(f"{prefix}/{owner}/{n}", a) for n, a in named.items()}
                    for owner, named in arrays.items()
                }

            slots = {s: tree(f"optimizer/{s}", like.slots[s]) for s in SLOTS[optimizer]}
            losses = [float(x) for x in take("history/loss", None)]
            hits = [float(x) for x in take("history/accuracy", None)]
            params, buffers = tree("params", like.params), tree("buffers", like.buffers)
            state = State(params, buffers, slots, step, losses, hits)
    except (OSError, library.SafetensorError, ValueError, KeyError, TypeError) as error:
        text = shorten(str(error).partition("\n")[0], 160)
        raise TrainingError(f"cannot resume '{shown}': {text}") from None
    if not isinstance(step, int) or not step == len(losses) == len(hits):
        raise TrainingError(f"cannot resume '{shown}': its history is not of {step} steps")
    return state
