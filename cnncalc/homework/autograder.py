"""A ready Gradescope autograder: `cnncalc grade --init-gradescope KEY DIR`.

The folder is complete: the key, cnncalc itself, and two scripts. Nothing but pip uses the
network, and only while the image is built.
"""

import os
import shutil
from collections.abc import Iterator

from ..bundled import folder as bundled_folder
from .files import shown
from .key import Key
from .output import OutputError, make, replace

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUIREMENTS = "pyyaml>=6.0.1\nrich>=13.7\nsympy>=1.13\ntyper>=0.15\nnumpy>=1.26\n"
PYTHON = """\
# The newest Python that cnncalc runs on (3.11 or newer).
find_python() {
  for name in python3.14 python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null 2>&1 &&
       "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "cnncalc needs Python 3.11 or newer: choose a base image that has it" >&2
  exit 1
}
"""
SETUP = f"""\
#!/usr/bin/env bash
# Runs once, while the image is built. pip is all that uses the network.
set -euo pipefail
root=${{AUTOGRADER_ROOT:-/autograder}}

{PYTHON}
python=$(find_python)
"$python" -m pip install --no-input --quiet --target "$root/packages" \\
  -r "$root/source/requirements.txt"
chmod +x "$root/source/run_autograder"
"""
RUN = f"""\
#!/usr/bin/env bash
# Runs once a submission, without the network: marks the sheet, writes results.json.
set -uo pipefail
root=${{AUTOGRADER_ROOT:-/autograder}}

{PYTHON}
python=$(find_python) || exit 1
mkdir -p "$root/results"
export PYTHONPATH="$root/source:$root/packages"
export PYTHONDONTWRITEBYTECODE=1
"$python" -m cnncalc grade "$root/source/key.yaml" "$root/submission" \\
  --format gradescope --one --output "$root/results/results.json"
[ -s "$root/results/results.json" ]  # an unreadable sheet has a result too
"""
README = """\
# {name}: a Gradescope autograder

Zip the files in this folder, not the folder itself, and upload the zip:

    cd this-folder && zip -r ../autograder.zip .

The base image needs Python 3.11 or newer. Students hand in one sheet (.yaml, .yml, .json or
.csv), such as

    student: Ann
    answers:
      CONV1: {{output: 55x55x96, params: 34944}}

- `key.yaml`: the key. {questions}
- `setup.sh`: installs `requirements.txt` with pip while the image is built.
- `run_autograder`: marks the submission and writes `results/results.json`.
- `cnncalc/`: the program.
"""


def write_layout(key: Key, folder: str) -> list[str]:
    """Writes the autograder into `folder`, and returns the names of its own files.

    A folder with files in it is refused unless it holds an earlier layout; raises
    `OutputError`.
    """
    _free(folder)
    make(folder)
    questions = f"It asks {len(key.questions)} questions." if key.questions else "It asks nothing."
    own = {
        "key.yaml": (key.report.source.text, 0o644),
        "requirements.txt": (REQUIREMENTS, 0o644),
        "README.md": (README.format(name=_plain(key.name), questions=questions), 0o644),
        "setup.sh": (SETUP, 0o755),
        "run_autograder": (RUN, 0o755),
    }
    for name, (text, mode) in own.items():
        replace(os.path.join(folder, name), text.encode("utf-8"), mode)
    for source, target in _program():
        path = os.path.join(folder, target)
        make(os.path.dirname(path))
        with open(source, "rb") as file:
            replace(path, file.read())
    return [*own, "cnncalc/"]


def _plain(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:80]


def _free(folder: str) -> None:
    try:
        inside = set(os.listdir(folder))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write into '{shown(folder)}': {reason}") from None
    if inside and not {"run_autograder", "key.yaml"} <= inside:
        raise OutputError(f"'{shown(folder)}' holds other files: name a new or empty folder")
    program = os.path.join(folder, "cnncalc")
    if os.path.islink(program):
        raise OutputError(f"'{shown(program)}' is a symbolic link: nothing is written there")
    if os.path.isdir(program):
        shutil.rmtree(program)


def _program() -> Iterator[tuple[str, str]]:
    """The package's own files, with the bundled specs inside it."""
    for root, target in ((PACKAGE, "cnncalc"), (bundled_folder(), "cnncalc/specs")):
        for base, folders, names in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in ("__pycache__", "broken", "specs"))
            for name in sorted(names):
                if not name.endswith((".pyc", ".pyo")):
                    path = os.path.join(base, name)
                    yield path, os.path.join(target, os.path.relpath(path, root))
