"""Comparisons of two specs, and of one spec under several dialects."""

import json
import re
from typing import Any

import pytest
from report_samples import BAD, CONV1, GOOD, SYMBOLIC, UNREADABLE, make_report, make_row

from cnncalc.dialects import DIALECTS
from cnncalc.report import diff
from cnncalc.report.layout import cells
from cnncalc.rows import Totals


def network(*layers: tuple[str, str, int], **values: Any) -> Any:
    rows = tuple(make_row(name, op, (size,), params=size) for name, op, size in layers)
    total = sum(size for _, _, size in layers)
    return make_report(layers=rows, totals=Totals(total, total, 0, 7, 8, 9, 10), **values)


def kinds(a: Any, b: Any) -> list[str]:
    return [
        f"{c.kind} {c.a.name if c.a else '-'} {c.b.name if c.b else '-'}"
        for c in diff.changes(a, b)
    ]


A = network(("conv1", "conv", 4), ("relu1", "relu", 4), ("fc", "dense", 3))


def test_equal_specs() -> None:
    assert kinds(A, A) == ["same conv1 conv1", "same relu1 relu1", "same fc fc"]
    assert "3 layers: 3 same" in diff.compare(A, A)


def test_changed_added_and_removed() -> None:
    b = network(("conv1", "conv", 5), ("pool1", "maxpool", 4), ("fc", "dense", 3))
    assert kinds(A, b) == ["changed conv1 conv1", "removed relu1 -", "added - pool1", "same fc fc"]
    text = diff.compare(A, b)
    assert re.search(r"^~  conv1 +4 -> 5 +4 -> 5 +0$", text, re.M)
    assert re.search(r"^-  relu1 ", text, re.M)
    assert re.search(r"^\+  pool1 ", text, re.M)
    assert not re.search(r"^.  fc ", text, re.M)
    assert "4 layers: 1 changed, 1 added, 1 removed, 1 same" in text


def test_renamed_layers_are_matched_by_order_and_op() -> None:
    b = network(("features.0", "conv", 4), ("act", "relu", 4), ("fc", "dense", 3))
    assert kinds(A, b) == ["same conv1 features.0", "same relu1 act", "same fc fc"]


def test_moved_layers_keep_both_orders() -> None:
    b = network(("fc", "dense", 3), ("conv1", "conv", 4), ("relu1", "relu", 4))
    found = diff.changes(A, b)
    assert [c.a.name for c in found if c.a] == ["conv1", "relu1", "fc"]
    assert [c.b.name for c in found if c.b] == ["fc", "conv1", "relu1"]


def test_totals_and_their_difference() -> None:
    b = network(("conv1", "conv", 1500))
    text = diff.compare(A, b)
    assert re.search(r"^parameters +11 +1,500 +\+1,489$", text, re.M)
    change = diff.total_changes(A.totals, b.totals)[0]
    assert change == diff.TotalChange("trainable", 11, 1500, 1489)
    assert diff.total_changes(A.totals, None) == []


def test_symbolic_and_unreadable_specs_compare() -> None:
    text = diff.compare(SYMBOLIC, GOOD, width=80)
    assert all(cells(line) <= 80 for line in text.splitlines())
    assert "604*k + 64" in text
    assert "no layers" not in diff.compare(UNREADABLE, GOOD)
    assert "no layers" in diff.compare(UNREADABLE, UNREADABLE)


def test_wide_rows_fit_80_columns() -> None:
    names = ("4/bottleneck2/add1/1/conv3", "4/bottleneck3/add1/1/conv3")
    a, b = (
        make_report(layers=(make_row(n, "conv", (224, 224, 64 * i), params=i * 10**7,
                                     macs=i * 10**9),))
        for i, n in enumerate(names, 1)
    )  # fmt: skip
    text = diff.compare(a, b, width=80)
    assert all(cells(line) <= 80 for line in text.splitlines())
    assert "1,000,000,000 ->" in text


def test_compare_json() -> None:
    data = json.loads(json.dumps(diff.compare_json(GOOD, BAD)))
    assert data["schema"] == "cnncalc.diff/1"
    assert [layer["kind"] for layer in data["layers"]] == ["same"] * 2 + ["added"] * 3
    assert data["layers"][0]["a"]["output"] == [55, 55, 96]
    assert data["layers"][2]["a"] is None
    assert data["totals"]["trainable"] == {"a": 34944, "b": 35809, "difference": 865}


def test_formats_of_a_comparison() -> None:
    assert json.loads(diff.render(GOOD, BAD, "json")) == diff.compare_json(GOOD, BAD)
    assert diff.render(GOOD, BAD, "table", width=80) == diff.compare(GOOD, BAD, width=80)
    text = diff.render(GOOD, SYMBOLIC, "markdown")
    assert "| \\~ | conv1 |" not in text
    assert "| + | pool1 | H/2 x floor(W/2) x k | 0 | 0 |" in text
    with pytest.raises(ValueError, match="table, json, markdown"):
        diff.render(GOOD, BAD, "xml")


def test_dialects_show_only_what_parts() -> None:
    pool = make_row("pool1", "maxpool", (56, 56, 64))
    reports = [
        make_report(layers=(CONV1, pool._replace(output=(size, size, 64))), dialect=DIALECTS[name])
        for name, size in (("torch", 56), ("caffe", 57), ("keras", 56))
    ]
    text = diff.dialects(reports)
    assert re.search(r"^layer +torch +caffe +keras$", text, re.M)
    assert re.search(r"^pool1 +output +56x56x64 +57x57x64 +56x56x64$", text, re.M)
    assert "CONV1" not in text
    assert "| pool1 | output | 56x56x64 | 57x57x64 |" in diff.dialects(reports, format="markdown")
    assert diff.dialects_json(reports)["layers"] == [
        {"name": "pool1", "quantity": "output",
         "values": [[56, 56, 64], [57, 57, 64], [56, 56, 64]]}
    ]  # fmt: skip


def test_unreadable_dialects_have_no_column() -> None:
    text = diff.dialects([GOOD, UNREADABLE._replace(dialect=DIALECTS["keras"])])
    assert "no layer differs under cs231n\n" in text
    assert "keras: 1 error (E001)" in text


def test_dialects_with_errors_and_without_differences() -> None:
    text = diff.dialects([GOOD, GOOD._replace(dialect=DIALECTS["torch"])])
    assert "no layer differs under cs231n, torch" in text
    text = diff.dialects([GOOD, BAD._replace(dialect=DIALECTS["torch"])])
    assert "3 errors (S001, A001, B001)" in text
    assert re.search(r"^conv2 +output +- +9x9x1$", text, re.M)
