"""Diagnostics as SARIF 2.1.0, for code scanning."""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from .. import __version__
from ..diagnostics import Diagnostic
from ..rows import Report
from .words import ordered

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def render(reports: Sequence[Report], strict: bool = False) -> str:
    """One log with one run, whatever the number of specs."""
    return json.dumps(to_sarif(reports, strict), indent=2) + "\n"


def to_sarif(reports: Sequence[Report], strict: bool = False) -> dict[str, Any]:
    """The log as plain data."""
    found = [(report, d) for report in reports for d in ordered(report.diagnostics)]
    codes = sorted({d.code for _, d in found})
    status = max((report.status(strict) for report in reports), default=0)
    rules = [_rule(code) for code in codes]
    run = {
        "tool": {"driver": {"name": "cnncalc", "version": __version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": status < 2, "exitCode": status}],
        "results": [_result(report, d, codes.index(d.code)) for report, d in found],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    from ..rules.codes import ENTRIES, explain_code

    entry = ENTRIES.get(code)
    if entry is None:
        return {"id": code, "shortDescription": {"text": code}}
    return {
        "id": code,
        "shortDescription": {"text": entry.title},
        "help": {"text": entry.text, "markdown": explain_code(code, "markdown")},
        "defaultConfiguration": {"level": entry.severity},
    }


def _result(report: Report, d: Diagnostic, index: int) -> dict[str, Any]:
    text = "\n".join([d.message, *(f"help: {line}" for line in d.help)])
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": uri(report.source.path)}}
    }
    if d.span:
        location["physicalLocation"]["region"] = {
            "startLine": d.span.line,
            "startColumn": d.span.column,
            "endColumn": d.span.column + d.span.length,
        }
    if d.layer:
        location["logicalLocations"] = [{"name": d.layer, "kind": "layer"}]
    return {
        "ruleId": d.code,
        "ruleIndex": index,
        "level": d.severity,
        "message": {"text": text},
        "locations": [location],
    }


def uri(path: str) -> str:
    """A file's path as a URI reference.

    >>> uri("specs/my net.yaml"), uri("<stdin>")
    ('specs/my%20net.yaml', 'stdin')
    """
    if path.startswith("<"):
        return quote(path.strip("<>"), safe="")
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix(), safe="/")
