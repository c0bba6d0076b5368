"""Errors of the engine, told in the user's terms: the primitive, the shapes, the line."""

import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


class AutogradError(ValueError):
    """What the engine cannot do, and why; the message ends with the user's line."""


def where_from() -> str:
    """' (file.py:12: text of the line)' of the innermost caller outside the engine."""
    import linecache

    frame: Any = sys._getframe(1)
    while frame is not None and os.path.dirname(frame.f_code.co_filename) == HERE:
        frame = frame.f_back
    if frame is None:
        return ""
    name, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, number).strip()
    return f" ({os.path.basename(name)}:{number}{': ' + text[:80] if text else ''})"


def shapes_text(args: tuple[Any, ...]) -> str:
    """'(3, 4) and (5,)': the shapes of the array arguments."""
    found = [str(tuple(a.shape)) for a in args if hasattr(a, "shape")]
    return " and ".join(found) or "numbers"


def _brief(value: Any) -> str:
    return f"an array {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)


def in_user_terms(
    name: str, args: tuple[Any, ...], kw: dict[str, Any], error: Exception
) -> AutogradError:
    """The error of a primitive's own computation, with its name, shapes and the user's line."""
    several = len([a for a in args if hasattr(a, "shape")]) > 1
    plain = [repr(a) for a in args if not hasattr(a, "shape")]
    plain += [f"{k}={_brief(v)}" for k, v in kw.items() if v is not None and v is not False]
    options = "".join(f", {o}" for o in plain)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    what = f"shapes {shapes_text(args)} do not work together" if several else shapes_text(args)
    return AutogradError(f"{name}: {what}{options}: {reason}{where_from()}")
