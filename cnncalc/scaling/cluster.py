"""Several processes as one run: joined by `jax.distributed`, and what is said when one dies.

JAX's runtime ends a process whose coordinator is gone, from a thread of its own; so the work
is done in a child, and its parent puts into words what became of it.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..diagnostics import Problem
from ..source import shorten
from .mesh import Cluster

START = 120  # seconds for all processes to appear
HEARTBEAT = (
    20  # seconds of silence after which a process counts as dead; a lost connection tells at once
)
NATIVE = re.compile(rb"\[Gloo\]|[IWEF]\d{4} |\s+@ |\*\*\* |PC: |RPC: |.*grpc_|Fatal Python|\s*$")


def join(cluster: Cluster) -> None:
    """Starts JAX's distributed runtime; raises `Problem` R005 where the others do not come."""
    import jax

    try:
        config: Any = jax.config
        config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            cluster.coordinator, cluster.processes, cluster.process,
            initialization_timeout=START, heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )  # fmt: skip
    except Exception as error:  # the runtime raises what its transport does
        why = shorten(str(error).partition("\n")[0], 160)
        raise Problem(
            "R005",
            f"process {cluster.process} of {cluster.processes} could not join the run at "
            f"{cluster.coordinator}: {why}",
            help=[
                f"start all of --process 0 to {cluster.processes - 1} within {START} seconds; "
                "process 0 listens at the coordinator's address"
            ],
        ) from None


def leave() -> None:
    """Waits for the other processes, and shuts the runtime down."""
    import jax

    with suppress(Exception):  # the work is done: what fails now changes nothing
        runtime: Any = jax.distributed
        runtime.shutdown()


def dead(cluster: Cluster) -> list[int]:
    """The processes that have died, as the coordinator knows; [] where it cannot be asked."""
    if cluster.processes == 2:
        return [1 - cluster.process]
    found: list[int] = []

    def ask() -> None:
        from jax._src import distributed

        with suppress(Exception):
            client: Any = distributed.global_state.client
            live = client.get_live_nodes(list(range(cluster.processes)))
            found.extend(sorted(set(range(cluster.processes)) - set(live)))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HEARTBEAT / 2)
    return found


def broken(error: BaseException) -> bool:
    """Whether an error of JAX is that of a connection to another process."""
    text = str(error)
    return any(word in text for word in ("Gloo", "UNAVAILABLE", "Connection", "heartbeat"))


def died(cluster: Cluster) -> str:
    """Which processes have died, in words."""
    found = dead(cluster)
    if not found:
        return f"another of the {cluster.processes} processes has died or cannot be reached"
    many = "processes" if len(found) > 1 else "process"
    verb = "have" if len(found) > 1 else "has"
    return f"{many} {', '.join(map(str, found))} of {cluster.processes} {verb} died"


# --- the child and its parent -----------------------------------------------------------


def supervised(cluster: Cluster | None, work: Callable[[], int]) -> int:
    """The exit status of `work`, done in a child where it is part of a cluster."""
    if cluster is None or not hasattr(os, "fork") or "jax" in sys.modules:
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    alive, held = os.pipe()  # the child sees its end when the parent is gone
    reading, errors = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        os.close(reading)
        _child(work, alive, errors)
    os.close(alive)
    os.close(errors)
    status = _watch(child, reading)
    os.close(held)
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    me = f"process {cluster.process} of {cluster.processes}"
    if number == signal.SIGABRT:
        sys.stderr.write(
            f"error: JAX ended {me}: the coordinator at {cluster.coordinator} (process 0) or "
            "another process has died or cannot be reached\n"
            "  = help: train --save keeps the last step; --resume goes on with any number of "
            "devices\n"
        )
    else:
        sys.stderr.write(f"error: {me} was ended by {signal.Signals(number).name}\n")
    return 2


def _child(work: Callable[[], int], alive: int, errors: int) -> None:
    """Works in a process group of its own; what native code prints goes to the errors."""
    os.setpgid(0, 0)
    out = os.dup(1)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    sys.stdout = os.fdopen(out, "w", encoding="utf-8")

    def watch() -> None:
        os.read(alive, 1)
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    status = 2
    try:
        from ..console import Usage

        try:
            status = work()
        except Usage as error:
            sys.stderr.write(f"error: {error}\n")
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            status = 130
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            sys.stderr.write(f"error: a fault in cnncalc itself: {what}\n")
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # the runtime's own way out waits for the dead


def _watch(child: int, reading: int) -> int:
    """Passes on errors and signals until the child ends; its wait status."""

    def forward(number: int, frame: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, forward)
    try:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if os.environ.get("CNNCALC_DEBUG") or not NATIVE.match(line):
                    sys.stderr.write(line.decode("utf-8", "replace"))
                    sys.stderr.flush()
        return os.waitpid(child, 0)[1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
