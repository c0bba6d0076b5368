"""Entry point: plain `check` calls go straight to work, everything else through typer."""

import os
import sys


def main() -> None:
    """Runs the command line and exits with its status."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """The exit status of a command line; data on standard output, errors on standard error."""
    from .commands import UNCHECKED, Usage, check
    from .options import quick

    try:
        options = quick(argv)
        status = check(options) if options is not None else _typer(argv)
        sys.stdout.flush()
        return status
    except Usage as error:
        sys.stderr.write(f"error: {error}\n")
        return UNCHECKED
    except BrokenPipeError:
        # The reader has left (`| head`): say nothing, and keep the interpreter from trying.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNCHECKED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except Exception as error:
        if os.environ.get("CNNCALC_DEBUG"):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        sys.stderr.write(f"error: a fault in cnncalc itself: {what}\n")
        sys.stderr.write("  = help: CNNCALC_DEBUG=1 shows where; please report it\n")
        return UNCHECKED


def _typer(argv: list[str]) -> int:
    from .cli import app

    try:
        app(args=argv, prog_name="cnncalc", standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


if __name__ == "__main__":
    main()
