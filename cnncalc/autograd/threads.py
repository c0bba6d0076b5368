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
_limit: Any = None
_free = 1  # BLAS's threads while nobody holds them


@cache
def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


def workers() -> int:
    """How many threads share a large product: `CNNCALC_THREADS`, else as many as BLAS uses."""
    asked = os.environ.get("CNNCALC_THREADS", "")
    if asked.isdigit():
        return max(1, int(asked))
    return _free if _inside else _threads()


def _threads() -> int:
    controller = _controller()
    libraries = controller.lib_controllers if controller is not None else ()
    return min((library.num_threads for library in libraries), default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Holds BLAS to one thread; the last of several simultaneous users lets it go."""
    global _free, _inside, _limit
    controller = _controller()
    with _lock:
        _inside += 1
        if _inside == 1 and controller is not None:
            _free = _threads()
            _limit = controller.limit(limits=1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limit is not None:
                _limit.restore_original_limits()
                _limit = None


def share(
    chunks: Sequence[Chunk],
    spaces: Sequence[Space],
    work: Callable[[Iterator[Chunk], Space], None],
) -> None:
    """Runs `work(its share of the chunks, its workspace)` in one thread a workspace."""
    if len(spaces) == 1:
        work(iter(chunks), spaces[0])
        return
    left, lock = iter(chunks), threading.Lock()
    failed: list[BaseException] = []

    def run(space: Space) -> None:
        try:
            work(_each(left, lock), space)
        except BaseException as error:
            failed.append(error)

    with one_blas_thread():
        others = [threading.Thread(target=run, args=(space,)) for space in spaces[1:]]
        for thread in others:
            thread.start()
        run(spaces[0])
        for thread in others:
            thread.join()
    if failed:
        raise failed[0]


def _each(left: Iterator[Chunk], lock: threading.Lock) -> Iterator[Chunk]:
    while True:
        with lock:
            try:
                chunk = next(left)
            except StopIteration:
                return
        yield chunk
