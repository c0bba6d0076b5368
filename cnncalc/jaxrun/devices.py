"""Finding JAX and the device to run on, quietly, with one clear problem where either is absent."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..diagnostics import Problem
from ..source import shorten

LOGGERS = ("jax", "jax._src.xla_bridge", "jax._src.compiler", "absl")
NATIVE = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}
PLATFORMS = ("cpu", "gpu", "tpu")


class Device(NamedTuple):
    """One JAX device, its platform's name, and how many of its kind there are."""

    platform: str
    total: int
    handle: Any


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps JAX's own warnings and logs from the user, and leaves no setting behind."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    added = [name for name in NATIVE if name not in os.environ]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        os.environ.update({name: NATIVE[name] for name in added})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def open_device(name: str | None) -> Device:
    """The device called `name` (None: JAX's default); raises `Problem` R005 or R007."""
    jax = _jax()
    try:
        found = jax.devices(name) if name else jax.devices()
    except (RuntimeError, AssertionError) as error:
        raise _absent(jax, name, error) from None
    handle = found[0]
    return Device(name or handle.platform, len(found), handle)


def _jax() -> Any:
    try:
        import jax
        import jax.export
        import jax.numpy
    except Exception as error:  # a broken installation fails in many ways
        raise Problem(
            "R007",
            f"JAX cannot be imported: {shorten(_first_line(error), 160)}",
            help=["install it with `pip install jax`, or skip the run with --no-run"],
        ) from None
    return jax


def _absent(jax: Any, name: str | None, error: Exception) -> Problem:
    wanted = os.environ.get("JAX_PLATFORMS", "")
    setting = f" (JAX_PLATFORMS={wanted})" if wanted else ""
    present = _present(jax)
    if name is None or not present:
        text = f"JAX finds no device{setting}: {shorten(_first_line(error), 160)}"
        return Problem("R005", text, help=["unset JAX_PLATFORMS, or skip the run with --no-run"])
    known = ", ".join(present)
    text = f"no {name} is present; JAX finds {known}{setting}"
    help_ = [f"use --device {present[0]}"]
    if name not in PLATFORMS:
        help_.append("devices are cpu, gpu and tpu")
    elif name != "cpu":
        help_.append(f"a {name} needs its own build of JAX: see jax.dev/installation")
    return Problem("R005", text, help=help_)


def _present(jax: Any) -> list[str]:
    found = []
    for platform in PLATFORMS:
        try:
            if jax.devices(platform):
                found.append(platform)
        except (RuntimeError, AssertionError):
            continue
    return found


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def reason(error: BaseException) -> str:
    """An error of JAX as part of one sentence."""
    return shorten(_first_line(error), 200).rstrip(".")


def out_of_memory(error: BaseException) -> bool:
    """Whether JAX or NumPy could not allocate."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text
