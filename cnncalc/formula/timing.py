"""A limit on the time that formulas may take, for answers that strangers wrote."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_END: ContextVar[float | None] = ContextVar("end", default=None)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Formulas built inside raise FormulaLimit once so many seconds have passed."""
    before = _END.get()
    end = monotonic() + seconds
    token = _END.set(end if before is None else min(before, end))
    try:
        yield
    finally:
        _END.reset(token)


def late() -> bool:
    """Whether a limit is set and has passed."""
    end = _END.get()
    return end is not None and monotonic() > end
