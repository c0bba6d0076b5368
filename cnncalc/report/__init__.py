"""Reports in every format; a format's module is imported when it is asked for."""

from collections.abc import Sequence

from ..rows import Report

FORMATS = ("table", "json", "markdown", "csv", "sarif", "junit", "github")


def render(
    reports: Sequence[Report],
    format: str,
    *,
    width: int | None = None,
    color: bool = False,
    strict: bool = False,
) -> str:
    """The reports as text that ends in a newline (empty where there is nothing to say).

    `width` and `color` matter to the table only. Raises ValueError for an unknown format.
    """
    if format == "table":
        from . import table

        return table.render(reports, width=width, color=color, strict=strict)
    if format == "json":
        from . import json

        return json.render(reports, strict=strict)
    if format == "markdown":
        from . import markdown

        return markdown.render(reports, strict=strict)
    if format == "csv":
        from . import csv

        return csv.render(reports)
    if format == "sarif":
        from . import sarif

        return sarif.render(reports, strict=strict)
    if format == "junit":
        from . import junit

        return junit.render(reports, strict=strict)
    if format == "github":
        from . import github

        return github.render(reports)
    raise ValueError(f"unknown format '{format}': one of {', '.join(FORMATS)}")
