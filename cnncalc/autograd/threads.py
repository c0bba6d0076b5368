"""Work shared by a few Python threads, each with one BLAS thread.

NumPy lets go of the interpreter lock in products, copies and sums of whole arrays, so
that threads which each take the next chunk keep all processors busy in the copies too,
where BLAS's own threads would idle. `threadpoolctl` tells how many threads BLAS has and
holds it to one meanwhile; without it chunks run in turn, and BLAS's threads as they will.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

Chunk = TypeVar("Chunk")
Space = TypeVar("Space")

_lock = threading.Lock()
_inside = 0  # how many calls hold BLAS to one thread now
_free: list[int] = []  # the threads each BLAS library had before


@cache
def _libraries() -> tuple[Any, ...]:
    """The BLAS libraries loaded, whose `num_threads` may be read and set."""
    try:
        from threadpoolctl import ThreadpoolController  # type: ignore
    except ImportError:
        return ()
    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


def workers() -> int:
    """How many threads share a large product: `CNNCALC_THREADS`, else as many as BLAS uses."""
    asked = os.environ.get("CNNCALC_THREADS", "")
    if asked.isdigit():
        return max(1, int(asked))
    with _lock:
        counts = _free or [library.num_threads for library in _libraries()]
    return min(counts, default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Holds BLAS to one thread; the last of several simultaneous users lets it go."""
    global _free, _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _free = [library.num_threads for library in _libraries()]
            _set([1] * len(_free))
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _set(_free)
                _free = []


def _set(counts: list[int]) -> None:
    for library, count in zip(_libraries(), counts, strict=True):
        library.set_num_threads(count)


def share(
    chunks: Sequence[Chunk],
    spaces: Sequence[Space],
    work: Callable[[Iterator[Chunk], Space], None],
    fixed: bool = True,
) -> None:
    """Runs `work(its share of the chunks, its workspace)` in one thread a workspace.

    With fixed shares, sums over a share are made in one order and runs repeat exactly. Where
    each chunk has an answer of its own, `fixed=False` lets a thread that is free take the next.
    Without threadpoolctl, or on one processor, one thread does all: the caller's.
    """
    if len(spaces) == 1:
        with one_blas_thread():
            work(iter(chunks), spaces[0])
        return
    failed: list[BaseException] = []
    following = iter(chunks)  # `next` of a list's iterator is one step for all threads

    def run(number: int) -> None:
        try:
            work(iter(chunks[number :: len(spaces)]) if fixed else following, spaces[number])
        except BaseException as error:
            failed.append(error)

    with one_blas_thread():
        others = [threading.Thread(target=run, args=(i,)) for i in range(1, len(spaces))]
        for thread in others:
            thread.start()
        run(0)
        for thread in others:
            thread.join()
    if failed:
        raise failed[0]
