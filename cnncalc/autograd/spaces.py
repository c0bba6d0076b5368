"""Buffers for work in chunks, lent again and again: fresh memory costs as much as a copy."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from .arrays import Array

KEPT = 1 << 25  # bytes of the largest arena that waits for its next user
ALIGNED = 64
_waiting: deque[Array] = deque(maxlen=4)


class Space:
    """Named buffers in one arena, each cut to the shape that is wanted of it."""

    def __init__(self, sizes: dict[str, int], dtype: Any) -> None:
        item = np.dtype(dtype).itemsize
        padded = {name: -(-n * item // ALIGNED) * ALIGNED for name, n in sizes.items()}
        self.arena = _arena(sum(padded.values()))
        self.flat: dict[str, Array] = {}
        start = 0
        for name, n in sizes.items():
            self.flat[name] = self.arena[start : start + n * item].view(dtype)
            start += padded[name]

    def __call__(self, name: str, *shape: int) -> Array:
        return self.flat[name][: prod(shape)].reshape(shape)


@contextmanager
def lent(sizes: dict[str, int], dtype: Any, count: int) -> Iterator[list[Space]]:
    """`count` workspaces, which must not be used afterwards."""
    found = [Space(sizes, dtype) for _ in range(count)]
    try:
        yield found
    finally:
        _waiting.extend(space.arena for space in found if space.arena.nbytes <= KEPT)


def _arena(size: int) -> Array:
    """A waiting arena that is large enough, or a new one; smaller ones go."""
    while _waiting:
        try:
            arena = _waiting.pop()
        except IndexError:  # another thread took the last
            break
        if arena.nbytes >= size:
            return arena
        del arena
    return np.empty(size, np.uint8)


def clear() -> None:
    """Lets go of all that waits."""
    _waiting.clear()
