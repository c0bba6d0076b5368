"""Entry point: plain `check` calls go straight to work, everything else through typer."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

GENERATION = 100_000  # objects made before the first cycles are looked for
INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT, 128 + SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM: what is open is closed and tidied up as at Ctrl-C."""


def main() -> None:
    """Runs the command line and exits with its status."""
    if "--no-run" in sys.argv:  # over in a moment: collecting cycles costs more than it frees
        gc.set_threshold(GENERATION)
    with _terminable() as signals:
        status = run(sys.argv[1:])
    if signals and status == INTERRUPTED:
        status = TERMINATED
    try:
        sys.stdout.flush()
    except (OSError, AttributeError):  # told of already, or closed
        _let_go(sys.stdout)
    if "jax" not in sys.modules:  # nothing that has to be taken down in order
        gc.freeze()
    sys.exit(status)


def run(argv: list[str]) -> int:
    """The exit status of a command line; data on standard output, errors on standard error."""
    from .console import UNCHECKED, Usage, flush

    try:
        status = _dispatch(argv)
        flush()
        return status
    except Usage as error:
        _say(f"error: {error}")
    except BrokenPipeError:
        # The reader has left (`| head`): say nothing.
        _let_go(sys.stdout)
    except Terminated:
        _say("terminated")
        return TERMINATED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except MemoryError:
        _say("error: memory ran out\n  = help: a smaller spec, --batch or grid needs less")
    except Exception as error:
        return _fault(error)
    return UNCHECKED


def _dispatch(argv: list[str]) -> int:
    from .commands import check
    from .options import quick

    options = quick(argv)
    return check(options) if options is not None else _typer(argv)


def _fault(error: Exception) -> int:
    if os.environ.get("CNNCALC_DEBUG"):
        raise error
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    _say(f"error: a fault in cnncalc itself: {what}")
    _say("  = help: CNNCALC_DEBUG=1 shows where; `cnncalc doctor` prints what a report needs")
    return 2


def _typer(argv: list[str]) -> int:
    from .cli import app

    try:
        app(args=argv, prog_name="cnncalc", standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _say(text: str) -> None:
    """A message on standard error, no control character of a name in it; never fails."""
    from .source import readable
    from .writing import spelled

    safe = "".join(c if c.isprintable() or c == "\n" else "?" for c in readable(text))
    with suppress(OSError, ValueError, AttributeError):
        encoding = sys.stderr.encoding or "ascii"
        sys.stderr.write(spelled(safe, encoding) + "\n")
        sys.stderr.flush()


def _let_go(stream: Any) -> None:
    """Points a stream at nothing, so that the interpreter's own flush at exit succeeds."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """SIGTERM as `Terminated`; the list says whether it came."""
    seen: list[int] = []

    def stop(number: int, frame: Any) -> None:
        seen.append(number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
