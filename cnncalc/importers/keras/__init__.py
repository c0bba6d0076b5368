"""Keras models: `model.to_json()` or the config in a `.keras` archive. No code is run."""

import json
import os
import zipfile
from math import inf
from typing import Any

from ...source import shorten
from ..draft import Draft, refuse
from ..writing import write
from .model import draft_of

MAX_BYTES = 64 << 20
MAX_DEPTH = 100


def convert(path: str) -> str:
    """Spec text of a Keras file; raises `Problem` E021."""
    return write(draft(path))


def draft(path: str) -> Draft:
    """The network of a Keras file; raises `Problem` E021."""
    data = _archived(path) if path.lower().endswith(".keras") else _plain(path)
    try:
        text = data.decode("utf-8-sig")
        _check_depth(text)
        config = json.loads(text, parse_constant={"-Infinity": -inf}.get)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        what = shorten(str(error), 100)
        raise refuse(f"'{shorten(path, 200)}' is not readable JSON: {what}") from None
    if isinstance(config, str):  # json.dumps(model.to_json()) by mistake
        raise refuse("the file holds a text, not a model: write model.to_json() as it is")
    if not isinstance(config, dict) or "class_name" not in config or "config" not in config:
        raise refuse("the file is no Keras model: it has no class_name and config")
    made = draft_of(config, os.path.splitext(os.path.basename(path))[0])
    made.notes.insert(0, f"from {os.path.basename(path)}: Keras {_version(config)}".rstrip())
    return made


def _version(config: dict[str, Any]) -> str:
    return shorten(str(config.get("keras_version") or ""), 20)


def _plain(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise refuse(f"'{shorten(path, 200)}' is larger than {MAX_BYTES >> 20} MiB")
    return data


def _archived(path: str) -> bytes:
    """The `config.json` of an archive, read no further than its limit whatever it claims."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
            data = file.read(MAX_BYTES + 1)
    except KeyError:
        raise refuse(f"'{shorten(path, 200)}' holds no config.json: no Keras archive") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        what = shorten(str(error), 80)
        raise refuse(f"'{shorten(path, 200)}' is no readable .keras archive: {what}") from None
    except Exception as error:  # zlib.error and its like
        if isinstance(error, OSError):
            raise
        raise refuse(f"'{shorten(path, 200)}' is damaged: {shorten(str(error), 80)}") from None
    if len(data) > MAX_BYTES:
        raise refuse(f"the config in '{shorten(path, 200)}' is larger than {MAX_BYTES >> 20} MiB")
    return data


def _check_depth(text: str) -> None:
    """Refuses deep nesting before the reader, which is recursive, meets it."""
    depth = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            escaped, quoted = (char == "\\" and not escaped), char != '"' or escaped
        elif char == '"':
            quoted = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        elif char in "]}":
            depth -= 1
