"""What a network is trained on: one random batch, or the arrays of an .npz file.

Every array's header is read and compared with its size in the file before any memory is
taken, and pickled objects are refused.
"""

import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from ..execute import logits_row, whole
from ..rows import Report
from ..source import shorten
from .settings import TrainingError

MOST = 64 << 30  # bytes of one array, where free memory cannot be known
COLOUR, PATCHES = 1, 5  # patches along an axis of a random picture
ALIASES = {"x": "x_train", "y": "y_train"}


class Batch(NamedTuple):
    """Inputs by name, and the class of every item (or of every position of it)."""

    inputs: Mapping[str, Any]
    labels: Any


class Task(NamedTuple):
    """What the network reads and answers: input shapes, the logits' layer, its classes."""

    inputs: Mapping[str, tuple[int, ...]]
    logits: str
    positions: tuple[int, ...]  # axes of the logits before the classes; () is one an item
    classes: int
    words: Mapping[str, int]  # the vocabulary of inputs that an embedding reads


class Data(NamedTuple):
    """Training items, test items where there are any, and a fingerprint of the former."""

    train: Batch
    test: Batch | None
    fingerprint: str | None  # None: a random batch

    @property
    def items(self) -> int:
        return len(self.train.labels)


def main_output(report: Report) -> str:
    """The output that the most layers lead to: auxiliary classifiers branch off earlier.

    >>> import cnncalc
    >>> main_output(cnncalc.load("googlenet-aux").derive())
    'loss3'
    """
    if len(report.outputs) == 1:
        return report.outputs[0]
    before: dict[str, frozenset[str]] = {}
    for row in report.layers:
        before[row.name] = frozenset(row.inputs).union(*(before.get(n, ()) for n in row.inputs))
    return max(report.outputs, key=lambda name: len(before.get(name, ())))


def task_of(report: Report) -> Task:
    """The classification task that a concrete network can be trained on."""
    name = logits_row(report, main_output(report))
    rows = {row.name: row for row in report.layers}
    if name not in rows or not any(row.params for row in report.layers):
        raise TrainingError("the network has no parameters: there is nothing to train")
    *positions, classes = whole(rows[name].output)
    if classes < 2:
        raise TrainingError(
            f"'{name}' ends in 1 class, which is always right: training needs at least 2"
        )
    if all(n == 1 for n in positions):
        positions = []
    words = {
        source: whole((row.layer.values()["vocab"],))[0]
        for row in report.layers
        if row.op == "embedding"
        for source in row.inputs
    }
    inputs = {key: whole(shape) for key, shape in report.input_shapes.items()}
    return Task(inputs, name, tuple(positions), classes, words)


def random_batch(task: Task, size: int, seed: int) -> Data:
    """Random pictures with random classes: a network that learns can learn these by heart.

    A picture is the sum of a colour, of coarse patches and of noise, all normal, of variance
    1 together: white noise alone would average to the same in every item.
    """
    import numpy as np

    inputs: dict[str, Any] = {}
    for name, shape in task.inputs.items():
        random = np.random.default_rng([seed, 1, crc32(name.encode())])
        if name in task.words:
            inputs[name] = random.integers(0, task.words[name], (size, *shape), "int32")
        else:
            grains = [random.standard_normal((size, *shape), "float32")]
            for most in (COLOUR, PATCHES) if len(shape) > 1 else ():
                grains.append(_patches(random, (size, *shape), most))
            inputs[name] = np.sum(grains, axis=0) / np.float32(np.sqrt(len(grains)))
    random = np.random.default_rng([seed, 2])
    labels = random.integers(0, task.classes, (size, *task.positions), "int32")
    return Data(Batch(inputs, labels), None, None)


def _patches(random: Any, shape: tuple[int, ...], most: int) -> Any:
    """Normal values that are constant in at most so many patches along every axis."""
    import numpy as np

    items, *sizes, channels = shape
    coarse = [min(most, n) for n in sizes]
    found = random.standard_normal((items, *coarse, channels), "float32")
    for axis, (n, few) in enumerate(zip(sizes, coarse, strict=True), 1):
        found = np.take(found, np.arange(n) * few // n, axis=axis)
    return found


def order(items: int, seed: int, epoch: int) -> Any:
    """The items of an epoch in the order in which they are seen."""
    import numpy as np

    return np.random.default_rng([seed, 3, epoch]).permutation(items)


# --- .npz files ---------------------------------------------------------------------


def read_npz(path: str, task: Task) -> Data:
    """Arrays x and y (or x_train and y_train), and x_test and y_test where they are there.

    A network of several inputs has an array under each input's name instead of x.
    Bytes (uint8) are pictures: they are divided by 255.
    """
    arrays = _load(path, task)
    train = _batch(arrays, task, "")
    if not len(train.labels):
        raise TrainingError(f"'{shorten(path, 200)}' has no items: y is empty")
    test = _batch(arrays, task, "_test") if "y_test" in arrays else None
    marks = [crc32(a.tobytes()) for a in (*train.inputs.values(), train.labels)]
    return Data(train, test, " ".join(f"{mark:08x}" for mark in [*marks, train.labels.size]))


def _names(task: Task) -> list[str]:
    """The arrays of the training items; x is the only input's."""
    return ["x"] if len(task.inputs) == 1 else list(task.inputs)


def _load(path: str, task: Task) -> dict[str, Any]:
    shown = shorten(path, 200)
    wanted = [*_names(task), "y"]
    try:
        with zipfile.ZipFile(path) as archive:
            there = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
            spelled = {n: n if n in there else ALIASES.get(n, n) for n in wanted}
            missing = [n for n in wanted if spelled[n] not in there]
            if missing:
                have = ", ".join(shorten(n) for n in list(there)[:8]) or "none"
                text = f"'{shown}' has no array {' and no '.join(missing)}; it has {have}"
                raise TrainingError(text)
            tests = {f"{n}_test": f"{n}_test" for n in wanted if f"{n}_test" in there}
            if tests and len(tests) < len(wanted):
                names = " and ".join(f"{n}_test" for n in wanted)
                raise TrainingError(f"'{shown}' has only {', '.join(tests)}: tests need {names}")
            return {n: _member(archive, there[s]) for n, s in (spelled | tests).items()}
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it is not an .npz file that can be read"
        raise TrainingError(f"cannot read '{shown}': {reason}") from None


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    import numpy as np

    shown = shorten(name.removesuffix(".npy"))
    size = archive.getinfo(name).file_size
    try:
        with archive.open(name) as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                header = np.lib.format.read_array_header_1_0(file)
            else:
                header = np.lib.format.read_array_header_2_0(file)
            shape, _, dtype = header
            start = file.tell()
        if dtype.hasobject:
            raise TrainingError(
                f"the array {shown} holds pickled Python objects, which are not loaded: "
                "save it with a numeric dtype"
            )
        count = 1
        for n in shape:
            count *= n
        if count * dtype.itemsize != size - start:
            raise ValueError("its header and its size disagree")
        _require(shown, size)
        with archive.open(name) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        text = shorten(str(error).partition("\n")[0], 160) or type(error).__name__
        raise TrainingError(f"the array {shown} cannot be read: {text}") from None


def _require(name: str, size: int) -> None:
    """Refuses an array that would not fit beside its copy as float32."""
    from ..jaxrun.devices import Device
    from ..jaxrun.memory import free_bytes, in_words

    free = free_bytes(Device("cpu", 1, None))
    limit = MOST if free is None else min(MOST, free // 2)
    if size > limit:
        text = f"the array {name} has {in_words(size)}, more than half of the free memory"
        raise TrainingError(text)


def _batch(arrays: Mapping[str, Any], task: Task, suffix: str) -> Batch:
    labels = _labels(arrays["y" + suffix], "y" + suffix, task)
    inputs = {}
    for name, array in zip(task.inputs, _names(task), strict=True):
        key = array + suffix
        inputs[name] = _input(arrays[key], key, name, task)
        if len(inputs[name]) != len(labels):
            raise TrainingError(
                f"{key} has {len(inputs[name]):,} items, y{suffix} has {len(labels):,}"
            )
    return Batch(inputs, labels)


def _input(x: Any, key: str, name: str, task: Task) -> Any:
    import numpy as np

    shape = task.inputs[name]
    found = tuple(x.shape[1:])
    if x.ndim and found != shape and (*found, 1) == shape:
        x, found = x[..., None], shape  # one channel, left out
    if not x.ndim or found != shape:
        hint = ""
        if len(found) > 1 and (*found[1:], found[0]) == shape:
            hint = ": channels come last, transpose it"
        raise TrainingError(
            f"{key} has items of {_volume(found)}, the spec's input is {_volume(shape)}{hint}"
        )
    if x.dtype.kind not in "buif":
        raise TrainingError(f"{key} must be numbers, not {x.dtype}")
    if name in task.words:
        words = task.words[name]
        if x.size and not (x.min() >= 0 and x.max() < words and (x == np.floor(x)).all()):
            text = f"{key} must be words from 0 to {words - 1:,}, the embedding's vocabulary"
            raise TrainingError(text)
        return np.ascontiguousarray(x.astype("int32"))
    made = np.ascontiguousarray(x.astype("float32"))
    if x.dtype == np.uint8:
        made /= 255
    if not np.isfinite(made).all():
        raise TrainingError(f"{key} has values that are not finite numbers in float32")
    return made


def _labels(y: Any, key: str, task: Task) -> Any:
    import numpy as np

    if y.ndim == 2 and y.shape[1] == 1 and not task.positions:
        y = y[:, 0]
    if not y.ndim or y.shape[1:] != task.positions:
        each = f"one a position, {_volume(task.positions)}" if task.positions else "one an item"
        raise TrainingError(f"{key} has the shape {_volume(y.shape)}: it takes classes, {each}")
    if y.dtype.kind not in "buif" or (y.dtype.kind == "f" and not (y == np.floor(y)).all()):
        raise TrainingError(f"{key} must be whole numbers, the classes, not {y.dtype} values")
    if y.size and (y.min() < 0 or y.max() >= task.classes):
        wrong = int(y.min() if y.min() < 0 else y.max())
        raise TrainingError(
            f"{key} has the class {wrong}, but '{task.logits}' answers with "
            f"{task.classes} classes (0 to {task.classes - 1})"
        )
    return np.ascontiguousarray(y.astype("int32"))


def _volume(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def guessing(labels: Any, classes: int) -> float:
    """The loss of whoever knows how frequent the classes are, and nothing else.

    >>> import numpy as np
    >>> round(guessing(np.array([0, 1, 0, 1]), 2), 4)
    0.6931
    """
    import numpy as np

    share = np.bincount(labels.reshape(-1), minlength=classes) / labels.size
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
