"""What `cnncalc doctor` prints: versions, devices, memory, what is missing, for a bug report.

JAX is looked at from a process of its own, so that a broken one cannot take this one along.
"""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from typing import Any, NamedTuple

from . import bundled
from .source import shorten

SCHEMA = "cnncalc.doctor/1"
PATIENCE = 90  # seconds until JAX has to answer
SETTINGS = ("JAX_PLATFORMS", "JAX_ENABLE_X64", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "NO_COLOR",
            "PYTHONUTF8", "LC_ALL", "LANG")  # fmt: skip
REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[(?P<extras>[^]]*)\])?\s*(?P<bound>[^;]*)"
    r"(?:;.*extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"])?"
)
DEVELOPING = frozenset({"test"})
PROBE = """
import json, warnings
warnings.simplefilter("ignore")
import jax
from cnncalc.jaxrun.devices import open_device, quiet
from cnncalc.jaxrun.memory import free_bytes
with quiet():
    found = jax.devices()
    device = open_device(None)
    print(json.dumps({
        "default": device.platform,
        "devices": [f"{d.platform}:{d.id} ({d.device_kind})" for d in found],
        "free": free_bytes(device),
    }))
"""


class Package(NamedTuple):
    """A dependency: its bound, the extra it belongs to ("" where it is required), its version."""

    name: str
    bound: str
    extra: str
    version: str | None

    @property
    def trouble(self) -> str:
        """What is wrong with it; empty where nothing is.

        >>> Package("numpy", ">=1.26", "", "1.19.5").trouble
        'numpy 1.19.5 is installed, >=1.26 is needed'
        """
        if self.version is None:
            return f"{self.name} is not installed"
        least = re.search(r">=\s*([0-9.]+)", self.bound)
        if least and _numbers(self.version) < _numbers(least[1]):
            return f"{self.name} {self.version} is installed, {self.bound} is needed"
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3])


def packages() -> list[Package]:
    """The dependencies as the package declares them, with what is installed."""
    found: dict[tuple[str, str], Package] = {}
    for text in _requirements():
        match = REQUIREMENT.match(text)
        if match is None or match["extra"] in DEVELOPING:
            continue
        name, extra = match["name"].lower(), match["extra"] or ""
        if extra and match["extras"]:
            continue  # another build of a package that is listed already: jax[cuda12]
        found[name, extra] = Package(name, match["bound"].strip(), extra, _version(name))
    return sorted(found.values(), key=lambda p: (p.extra != "", p.extra, p.name))


def _requirements() -> list[str]:
    """From the checkout around the package, or from what was installed."""
    project = os.path.join(os.path.dirname(bundled.HERE), "pyproject.toml")
    if os.path.isfile(project):
        import tomllib

        with open(project, "rb") as file:
            declared = tomllib.load(file)["project"]
        extras = declared.get("optional-dependencies", {}).items()
        optional = [f'{line}; extra == "{extra}"' for extra, lines in extras for line in lines]
        return [*declared.get("dependencies", []), *optional]
    try:
        return list(metadata.requires("cnncalc") or [])
    except metadata.PackageNotFoundError:
        return []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return None


def examine() -> dict[str, Any]:
    """Everything worth telling, as plain data."""
    from . import __version__

    known = packages()
    jax = _jax()
    missing = [f"{p.trouble}: pip install '{p.name}{p.bound}'" for p in known
               if not p.extra and p.trouble]  # fmt: skip
    if jax.get("error") and _version("jax") is not None:
        missing.append(f"JAX does not work, --no-run does: {jax['error']}")
    absent: dict[str, list[str]] = {}
    for package in known:
        if package.extra and package.trouble:
            absent.setdefault(package.extra, []).append(package.name)
    optional = [f"{', '.join(names)}: pip install 'cnncalc[{extra}]'"
                for extra, names in absent.items()]  # fmt: skip
    return {
        "schema": SCHEMA,
        "cnncalc": __version__,
        "installed": _tilde(bundled.HERE),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}".strip(),
        "encodings": f"output {getattr(sys.stdout, 'encoding', None) or 'none'}, "
                     f"files {sys.getfilesystemencoding()}",
        "cores": _cores(),
        "memory": _memory(),
        "specs": len(bundled.names()),
        "packages": {p.name: p.version for p in known},
        "jax": jax,
        "settings": {n: shorten(_tilde(os.environ[n]), 100) for n in (*SETTINGS, *_own())
                     if os.environ.get(n)},
        "missing": missing,
        "optional": optional,
    }  # fmt: skip


def _own() -> list[str]:
    return sorted(name for name in os.environ if name.startswith("CNNCALC_"))


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory() -> int | None:
    """Bytes free for a run on the CPU."""
    from .jaxrun.devices import Device
    from .jaxrun.memory import free_bytes

    return free_bytes(Device("cpu", 1, None))


def _tilde(path: str) -> str:
    """A path without the user's name in it: bug reports are public."""
    home = os.path.expanduser("~")
    return path.replace(home, "~") if len(home) > 1 else path


def _jax() -> dict[str, Any]:
    """JAX's devices, or why there are none."""
    import json

    root = os.path.dirname(bundled.HERE)
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), root]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=PATIENCE,
            env=environment, check=False, stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {PATIENCE} seconds"}
    except OSError as error:
        return {"error": f"it could not be started: {error.strerror or error}"}
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        try:
            answer: dict[str, Any] = json.loads(lines[-1])
        except ValueError:
            return {"error": "it answers with something else than its devices"}
        return answer
    if done.returncode < 0:
        return {"error": f"it was ended by signal {-done.returncode}"}
    said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return {"error": shorten(_tilde(said[-1]), 200)}


def text(found: dict[str, Any]) -> str:
    """The findings as lines that survive being pasted anywhere."""
    from .jaxrun.memory import in_words

    jax = found["jax"]
    lines = [("cnncalc", f"{found['cnncalc']} in {found['installed']}"),
             ("Python", found["python"]), ("system", found["system"]),
             ("encodings", found["encodings"]), ("cores", str(found["cores"]))]  # fmt: skip
    if found["memory"] is not None:
        lines.append(("memory", f"{in_words(found['memory'])} free"))
    lines.append(("specs", f"{found['specs']} bundled"))
    lines += [(name, version or "-") for name, version in found["packages"].items()]
    if "error" in jax:
        lines.append(("devices", f"none: {jax['error']}"))
    else:
        lines.append(("devices", ", ".join(jax["devices"])))
    lines += [(name, value) for name, value in found["settings"].items()]
    width = max(len(name) for name, _ in lines) + 2
    shown = [f"{name:{width}}{value}".rstrip() for name, value in lines]
    if found["missing"]:
        shown += ["", "missing:", *(f"  {line}" for line in found["missing"])]
    if found["optional"]:
        shown += ["", "optional, not installed:", *(f"  {line}" for line in found["optional"])]
    if not found["missing"]:
        shown += ["", "all that is needed is there"]
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in shown) + "\n"
