"""Real values for weights and buffers: drawn in chunks, in the background where there is time.

Values depend on the seed and the array's name alone, not on when or by which thread they are
drawn: each chunk has a stream of its own.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod, sqrt
from typing import Any, NamedTuple
from zlib import crc32

from .sizes import Net, whole

ALIGNMENT = 64  # bytes: JAX on the CPU takes such arrays over without a copy
CHUNK = 1 << 22  # values: some milliseconds of a thread's time, so that two threads share well
THREADS = 2
WORTH = 1 << 20  # values from which drawing ahead pays
GAINS = frozenset({"gamma", "scale", "gain", "weight"})

Arrays = dict[str, Any]


class Weight(NamedTuple):
    """An array a reference asked for: trainable, or a buffer filled with `value`."""

    shape: tuple[Any, ...]
    fan_in: Any = None
    value: float | None = None


class Law(NamedTuple):
    """Uniform within `bound` of `center`."""

    center: float
    bound: float


def law(key: str, weight: Weight) -> Law:
    """Initial values that neither blow up nor vanish: LeCun's uniform law for matrices and
    kernels, ones for gains, and small numbers for biases.

    >>> law("kernel", Weight((3, 3, 3, 8)))
    Law(center=0.0, bound=0.3333333333333333)
    """
    if weight.value is not None:
        return Law(weight.value, 0.0)
    if weight.fan_in is None and len(weight.shape) < 2:
        if key == "alpha":
            return Law(0.25, 0.0)
        return Law(1.0, 0.0) if key in GAINS else Law(0.0, 0.01)
    fan_in = weight.fan_in or prod(whole(weight.shape[:-1]))
    return Law(0.0, sqrt(3 / max(1, int(fan_in))))


def make(name: str, key: str, weight: Weight, seed: int) -> Any:
    """The array called `key` of the layer called `name`, float32: the same for the same seed."""
    shape = whole(weight.shape)
    values = _empty(prod(shape))
    for chunk, words in _chunks(values, name, key, seed):
        _fill(chunk, law(key, weight), words)
    return values.reshape(shape)


def _chunks(values: Any, name: str, key: str, seed: int) -> Iterator[tuple[Any, list[int]]]:
    """The pieces of an array, with the words that seed each."""
    word = crc32(f"{name}/{key}".encode())
    for i, start in enumerate(range(0, values.size, CHUNK)):
        yield values[start : start + CHUNK], [seed, word, i]


def _fill(values: Any, to: Law, words: list[int]) -> None:
    """Fills a flat array; NumPy lets other threads run meanwhile."""
    import numpy as np

    if not to.bound:
        values.fill(to.center)
        return
    np.random.Generator(np.random.SFC64(words)).random(out=values, dtype=np.float32)
    values *= 2 * to.bound
    values += to.center - to.bound


def _empty(size: int) -> Any:
    """An uninitialised flat array of float32 that starts on a 64-byte boundary."""
    import numpy as np

    raw = np.empty(size + ALIGNMENT // 4, np.float32)
    skip = -raw.ctypes.data % ALIGNMENT // 4
    return raw[skip : skip + size]


class Ahead:
    """Parameters drawn by two threads into one arena, while JAX loads and compiles.

    The shapes are the derived ones: where a layer really asks for another array, `take` has
    none, and the array is made then.
    """

    def __init__(self, net: Net, seed: int) -> None:
        arrays = [
            (row.name, key, Weight(whole(shape)))
            for row in net.rows
            if row.shared is None
            for key, shape in row.weights.items()
        ]
        sizes = [prod(weight.shape) for _, _, weight in arrays]
        step = ALIGNMENT // 4
        arena = _empty(sum(-(-size // step) * step for size in sizes))
        self.pool = ThreadPoolExecutor(THREADS, "parameters")
        self.made: dict[tuple[str, str], tuple[Weight, Any, list[Future[None]]]] = {}
        start = 0
        for (name, key, weight), size in zip(arrays, sizes, strict=True):
            values = arena[start : start + size]
            start += -(-size // step) * step
            to = law(key, weight)
            parts = [
                self.pool.submit(_fill, chunk, to, words)
                for chunk, words in _chunks(values, name, key, seed)
            ]
            self.made[name, key] = weight, values.reshape(weight.shape), parts

    def take(self, name: str, key: str, weight: Weight) -> Any:
        """The array, filled; None where it was not foreseen as it is asked for."""
        found = self.made.pop((name, key), None)
        if found is None:
            return None
        foreseen, values, parts = found
        if whole(weight.shape) != foreseen.shape or law(key, weight) != law(key, foreseen):
            return None
        for part in parts:
            part.result()
        return values

    def stop(self) -> None:
        """Ends the threads; what is not filled by now is not."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.made.clear()


def ahead(net: Net, seed: int, spare: int | None) -> Ahead | None:
    """Starts drawing `net`'s parameters where that pays and leaves half of `spare` bytes free."""
    count = sum(sum(whole((row.params,))) for row in net.rows)
    if count < WORTH or spare is None or 8 * count > spare:
        return None
    try:
        return Ahead(net, seed)
    except MemoryError:
        return None


def arrays(
    weights: Mapping[str, Weight], name: str, seed: int, drawn: Ahead | None = None
) -> Arrays:
    """Every array of the layer called `name`: those drawn ahead, and the others made now."""
    found: Arrays = {}
    for key, weight in weights.items():
        values = None if drawn is None else drawn.take(name, key, weight)
        found[key] = make(name, key, weight, seed) if values is None else values
    return found
