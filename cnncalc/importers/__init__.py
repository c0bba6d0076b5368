"""Other formats to spec text: ONNX, Caffe prototxt, Keras and PyTorch models.

Each importer returns text in the spec language; nothing of a model file is executed.
"""

import os

from ..diagnostics import Problem
from ..network import MODEL_FILES
from ..source import Source, shorten
from .draft import refuse


def is_model(path: str) -> bool:
    """Whether a path is that of a model file and not of a spec; `.json` may be either."""
    lower = path.lower()
    if lower.endswith(".json"):
        return os.path.isfile(path) and _is_keras_json(path)
    return True


def _is_keras_json(path: str) -> bool:
    """A Keras model names its class before anything else; a spec never has such a key."""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return b'"class_name"' in head and b'"config"' in head


def read(path: str) -> Source:
    """The spec text of a model file; raises `Problem` E002 or E021."""
    return Source(convert(path), path)


def convert(path: str) -> str:
    """Spec text of a model file, by its suffix.

    Raises `Problem` E002 (there is no such file) or E021 (it cannot be imported).
    """
    try:
        size = os.stat(path).st_size
        if os.path.isdir(path):
            raise Problem("E002", f"'{shorten(path, 200)}' is a folder, not a model file")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"'{shorten(path, 200)}' cannot be read: {reason}"
        raise Problem("E002", message) from None
    lower = path.lower()
    try:
        if lower.endswith(".onnx"):
            from .onnx import convert as from_onnx

            return from_onnx(path)
        if lower.endswith((".prototxt", ".pbtxt")):
            from .caffe import convert as from_caffe

            return from_caffe(path)
        if lower.endswith((".keras", ".json")):
            from .keras import convert as from_keras

            return from_keras(path)
    except Problem:
        raise
    except MemoryError:
        raise refuse(f"'{shorten(path, 200)}' ({size:,} bytes) needs too much memory") from None
    except OSError as error:
        message = f"'{shorten(path, 200)}' cannot be read: {error.strerror or error}"
        raise Problem("E002", message) from None
    except Exception as error:
        if os.environ.get("CNNCALC_DEBUG"):
            raise
        what = shorten(" ".join(f"{type(error).__name__}: {error}".split()), 160)
        raise refuse(f"'{shorten(path, 200)}' cannot be imported: {what}") from None
    known = ", ".join(MODEL_FILES)
    raise refuse(
        f"'{shorten(path, 200)}' is of no known format", f"model files end in {known}",
        "a PyTorch model is named package.module:factory",
    )  # fmt: skip
