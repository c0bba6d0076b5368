"""JAX's persistent compilation cache, in the user's cache folder and bounded in size.

What lies there is executed, so that only a folder of the user's own, which nobody else may
write, is used. Where there is none, or JAX was told of a cache already, nothing is changed.
"""

import glob
import hashlib
import os
import platform
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIMIT = 64 << 20  # bytes: some fifteen thousand compiled layers
DAMAGED = "Error reading persistent compilation cache entry for "  # how JAX's warning begins
SETTINGS = {
    "jax_compilation_cache_dir": "",
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
}


@contextmanager
def compilations(wanted: bool = True, limit: int = LIMIT) -> Iterator[None]:
    """Programs compiled inside are kept for later processes, where that can be."""
    folder = _folder() if wanted and not _config("jax_compilation_cache_dir") else None
    held = _set(SETTINGS | {"jax_compilation_cache_dir": str(folder)}) if folder else None
    if folder is None or held is None:
        yield
        return
    before = _changed(folder)
    try:
        with _mended(folder):
            yield
    finally:
        _set(held)
        if _changed(folder) != before:
            prune(folder.parent, limit)


@contextmanager
def _mended(folder: Path) -> Iterator[None]:
    """Programs that JAX cannot read are removed as it says so: it never overwrites one itself.

    JAX warns before it compiles anew, and names the program's module, with which the names of
    its files begin.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.filterwarnings("always", message=re.escape(DAMAGED))

        def show(message: Warning | str, *args: Any, **named: Any) -> None:
            text = str(message)
            if not text.startswith(DAMAGED):
                shown(message, *args, **named)
                return
            module = text.removeprefix(DAMAGED).split("'")[1:2]
            for path in folder.glob(f"{glob.escape(module[0])}-*") if module else ():
                try:
                    path.unlink()
                except OSError:  # another process was quicker
                    continue

        warnings.showwarning = show
        yield


def home() -> Path | None:
    """The folder for this user's caches, by the conventions of the system; None without one."""
    try:
        if sys.platform == "win32":
            found = Path(os.environ.get("LOCALAPPDATA", ""))
        elif sys.platform == "darwin":
            found = Path.home() / "Library" / "Caches"
        else:
            given = os.environ.get("XDG_CACHE_HOME", "")
            found = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    except RuntimeError:  # the user has no home
        return None
    return found if found.is_absolute() else None


def _folder() -> Path | None:
    """The folder for this machine's programs, made where it is absent; None without one."""
    root = home()
    if root is None:
        return None
    ours = root / "cnncalc"
    folder = ours / f"jax-{_kind()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        ours.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        private = _private(ours) and _private(folder)
    except OSError:
        return None
    return folder if private and os.access(folder, os.W_OK) else None


def _private(folder: Path) -> bool:
    """Whether the folder is the user's own and nobody else may write it."""
    if not hasattr(os, "geteuid"):
        return True
    found = folder.lstat()
    others = stat.S_IWGRP | stat.S_IWOTH
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not (
        found.st_mode & others
    )  # fmt: skip


def _kind() -> str:
    """What a compiled program depends on: it may crash on a processor that lacks instructions."""
    import jaxlib.version

    words = [jaxlib.version.__version__, platform.machine(), platform.system()]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            words.append(file.read(16384).partition("\n\n")[0].partition("flags")[2])
    except OSError:
        words.append(platform.processor())
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _config(name: str) -> Any:
    import jax

    return getattr(jax.config, name, None)


def _set(values: dict[str, Any]) -> dict[str, Any] | None:
    """Sets JAX's options and returns what they were; None where this version lacks one."""
    import jax

    update: Any = jax.config.update
    if not all(hasattr(jax.config, name) for name in values):
        return None
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        update(name, value)
    try:  # so that JAX opens the cache anew
        from jax.experimental.compilation_cache import compilation_cache

        compilation_cache.reset_cache()
    except (ImportError, AttributeError):
        pass
    return before


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def prune(root: Path, limit: int) -> None:
    """Removes the oldest files below `root` until they take `limit` bytes at most."""
    found = []
    for path in root.glob("*/*"):
        try:
            seen = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(seen.st_mode):
            found.append((seen.st_mtime_ns, seen.st_size, path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        try:
            path.unlink()
        except OSError:  # another process was quicker
            continue
        excess -= size
