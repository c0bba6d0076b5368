"""The report as JUnit XML: one suite a spec; layers, answers, budget and run are its cases."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from ..diagnostics import Diagnostic, exit_status
from ..rows import Expectation, Report
from .layout import clean
from .words import answer_line, ordered, run_line

RUN_PASSES = ("agrees", "skipped")


class Case(NamedTuple):
    """One test case: passed unless it has faults, or was left out."""

    group: str
    name: str
    faults: Sequence[tuple[str, str]] = ()  # code and message
    skipped: str = ""
    line: int | None = None


def render(reports: Sequence[Report], strict: bool = False) -> str:
    """A document with one suite a report."""
    suites = ET.Element("testsuites", name="cnncalc")
    for report in reports:
        _suite(suites, report, cases(report, strict))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def cases(report: Report, strict: bool = False) -> list[Case]:
    """Every diagnostic that makes the check fail is a fault of exactly one case."""
    left = [d for d in ordered(report.diagnostics) if exit_status([d], strict)]
    found: list[Case] = []

    def take(keep: Iterable[Diagnostic]) -> list[tuple[str, str]]:
        chosen = list(keep)
        for d in chosen:
            left.remove(d)
        return [(d.code, _message(d)) for d in chosen]

    for e in report.expectations:
        own = take([d for d in left if d.code[0] == "A" and e.span and d.span == e.span][:1])
        found.append(_answer(e, own))
    for row in report.layers:
        fit = take([d for d in left if d.layer == row.name and d.code[0] not in "ABR"])
        found.append(Case("layers", row.name, fit, line=row.span.line if row.span else None))
    budget = take([d for d in left if d.code[0] == "B"])
    if budget:
        found.append(Case("network", "budget", budget))
    run = take([d for d in left if d.code[0] == "R"])
    if not run and report.run.status not in RUN_PASSES:
        run = [("R001", run_line(report.run))]
    skipped = run_line(report.run) if report.run.status == "skipped" else ""
    found.append(Case("network", "run", run, "" if run else skipped))
    return [Case("network", "spec", take(left[:])), *found]


def _answer(e: Expectation, own: list[tuple[str, str]]) -> Case:
    name = f"{e.layer or 'network'} {e.quantity}"
    if e.verdict != "right" and not own:
        code = "A001" if e.verdict == "wrong" else "A002"
        own = [(code, "\n".join([answer_line(e), *e.reasons]))]
    return Case("answers", name, own, line=e.span.line if e.span else None)


def _message(d: Diagnostic) -> str:
    return "\n".join([d.message, *(f"help: {line}" for line in d.help)])


def _suite(parent: ET.Element, report: Report, found: Sequence[Case]) -> None:
    suite = ET.SubElement(
        parent,
        "testsuite",
        name=clean(report.name or report.source.path),
        tests=str(len(found)),
        failures=str(sum(bool(case.faults) for case in found)),
        errors="0",
        skipped=str(sum(bool(case.skipped) for case in found)),
    )
    for case in found:
        _case(suite, report, case)


def _case(suite: ET.Element, report: Report, case: Case) -> None:
    path = clean(report.source.path)
    element = ET.SubElement(
        suite, "testcase", classname=f"{path}.{case.group}", name=clean(case.name), file=path
    )
    if case.line:
        element.set("line", str(case.line))
    for code, message in _lines(case.faults):
        failure = ET.SubElement(element, "failure", type=code, message=f"{code}: {message[0]}")
        failure.text = "\n".join(message)
    if case.skipped:
        ET.SubElement(element, "skipped", message=clean(case.skipped))


def _lines(faults: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    for code, message in faults:
        yield code, [clean(line) for line in message.splitlines()] or [code]
