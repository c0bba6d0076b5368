"""Workflow commands that GitHub Actions shows as annotations at the line."""

from collections.abc import Sequence

from ..diagnostics import Diagnostic
from ..rows import Report
from .layout import clean
from .words import ordered

LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def render(reports: Sequence[Report]) -> str:
    """One command a diagnostic; empty where there is none."""
    lines = [
        command(d, report.source.path) for report in reports for d in ordered(report.diagnostics)
    ]
    return "".join(line + "\n" for line in lines)


def command(d: Diagnostic, path: str) -> str:
    """One diagnostic as a workflow command.

    >>> command(Diagnostic("S001", "error", "100% wrong"), "a.yaml")
    '::error file=a.yaml,title=S001::100%25 wrong'
    """
    place = {} if path.startswith("<") else {"file": clean(path)}
    if d.span:
        place["line"] = str(d.span.line)
        place["col"] = str(d.span.column)
        place["endColumn"] = str(d.span.column + d.span.length)
    place["title"] = d.code + (f" {clean(d.layer)}" if d.layer else "")
    text = "\n".join([d.message, *(f"help: {line}" for line in d.help)])
    message = "\n".join(clean(line) for line in text.splitlines())
    fields = ",".join(f"{key}={_property(value)}" for key, value in place.items())
    return f"::{LEVELS[d.severity]} {fields}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
