"""Sheets from strangers: each attack gets a bounded, clear refusal, and stops no other sheet."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc import __main__
from cnncalc.homework.files import Refusal, bad_name, find, safe_names
from cnncalc.homework.sheets import read_sheets

KEY = """\
input: 32x32x3
layers:
  - conv: {filters: 10, kernel: 5, pad: 2}
    name: C
    expect: {output: 32x32x10, params: 760}
"""
GOOD = "student: Good\nanswers: {C: {output: 32x32x10, params: 760}}\n"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "sheets"
    path.mkdir()
    (path / "zz-good.yaml").write_text(GOOD)
    return path


def graded(folder):
    """The class, in bounded time, and the one reason; the good sheet is always graded."""
    begin = time.process_time()
    grades = cnncalc.grade(KEY, folder)
    assert time.process_time() - begin < 10
    assert [(s.student, s.score) for s in grades.students if s.student == "Good"] == [("Good", 2)]
    return grades


LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
ATTACKS = {
    "laughs.yaml": (LAUGHS + "answers: *j\n", "aliases"),
    "self.yaml": ("answers: &a {C: *a}\n", "aliases"),
    "deep.yaml": ("answers: " + "[" * 10_000, "nested deeper"),
    "deep-block.yaml": ("".join(" " * i + "a:\n" for i in range(500)), "nested deeper"),
    "deep.json": ('{"answers": ' + "[" * 100_000, "nested deeper"),
    "wide.yaml": ("answers: {" + ", ".join(f"a{i}: {i}" for i in range(30_000)) + "}", "more than"),
    "tag.yaml": ("!!python/object/apply:os.system ['echo x > pwned']\n", "a mapping"),
    "bad.yaml": ("answers: {C: [1, 2\n", "not readable YAML (line"),
    "bad.json": ('{"answers": {"C": }}', "not readable JSON (line 1)"),
    "empty.yaml": ("", "empty"),
    "empty.csv": ("", "empty"),
    "list.json": ("3", "a sheet is a mapping"),
    "none.yaml": ("student: Eve\n", "needs `answers:`"),
    "text.yaml": ("answers: all of them\n", "`answers:` maps layers"),
    "escape.yaml": ('student: "E\\e[2Jve"\nanswers: {C: 1}\n', "control character (U+001B)"),
    "bidi.yaml": ("student: E\u202eve\nanswers: {C: 1}\n", "writing direction (U+202E)"),
    "long.yaml": (f"student: {'x' * 500}\nanswers: {{C: 1}}\n", "longer than 200"),
    "map.yaml": ("student: {a: b}\nanswers: {C: 1}\n", "`student:` is a name"),
    "head.csv": ("name,what\nEve,3\n", "header student,layer,quantity,answer"),
    "short.csv": ("student,layer,quantity,answer\nEve,C\n", "2 of 4 columns"),
    "comma.csv": ("student,layer,quantity,answer\nEve,C,params,34,944\n", "too many columns"),
    "who.csv": ("student,layer,quantity,answer\n,C,params,3\n", "name is missing"),
    "ctrl.csv": ("student,layer,quantity,answer\nE\x07ve,C,params,3\n", "control character"),
    "cell.csv": (
        "student,layer,quantity,answer\nEve,C,params," + "9" * 200_000,
        "not readable CSV",
    ),
    "hw.pdf": ("%PDF-1.7", "no answer sheet"),
    "no-ending": (GOOD, "no answer sheet"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused(folder, name, capsys):
    text, fault = ATTACKS[name]
    (folder / name).write_text(text)
    grades = graded(folder)
    assert len(grades.students) == 1
    assert [fault in r.reason for r in grades.refused] == [True], grades.refused
    assert all(len(r.reason) < 300 and r.reason.isprintable() for r in grades.refused)
    (folder.parent / "key.yaml").write_text(KEY)
    assert __main__.run(["grade", str(folder.parent / "key.yaml"), str(folder)]) == 2
    out = capsys.readouterr().out
    assert out.count("unreadable: ") == 1
    assert all(c.isprintable() or c == "\n" for c in out)
    assert not os.path.exists("pwned")


BOMBS = ["9**9**9", "(" * 10_000 + "1" + ")" * 10_000, "1" * 100_000, "1e999999999",
         "2**(2**100)", "factorial(99999)", "__import__('os').system('id')", "((((", "9" * 999,
         "k**99999999", "1/0", "\x1b[2J", "[" + "1," * 5000 + "1]", "1x" * 400]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_expression_bombs_are_unreadable_answers(folder, bomb, monkeypatch):
    monkeypatch.setattr("cnncalc.homework.grading.FORMULA_SECONDS", 0.5)
    import json

    for answer in (bomb, [bomb, {"x": bomb}]):
        sheet = {"student": "Eve", "answers": {"C": {"output": answer, "params": answer}}}
        (folder / "eve.json").write_text(json.dumps(sheet))
        eve = next(s for s in graded(folder).students if s.student == "Eve")
        assert eve.score == 0
        for mark in eve.marks:  # "k**9" is a formula, if a wrong one
            assert mark.outcome in ("unreadable", "wrong")
            assert len(mark.given) <= 200
            assert mark.given.isprintable()


def test_large_files_are_not_read(folder):
    for name, size in (("big.yaml", 100_000_000), ("big.json", 1_000_001), ("b.csv", 100_000_000)):
        with open(folder / name, "wb") as file:
            file.truncate(size)  # sparse
    grades = graded(folder)
    assert len(grades.refused) == 3
    assert "100,000,000 bytes" in grades.refused[0].reason


def test_links_out_of_the_folder_are_not_followed(folder):
    secret = folder.parent / "secret.yaml"
    secret.write_text(GOOD.replace("Good", "Secret"))
    (folder / "a.yaml").symlink_to(secret)
    (folder / "b").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder)
    (folder / "gone.yaml").symlink_to(folder / "nowhere")
    grades = graded(folder)
    assert [s.student for s in grades.students] == ["Good"]
    assert sorted(os.path.basename(r.path) for r in grades.refused) == ["a.yaml", "b", "gone.yaml"]
    named = cnncalc.grade(KEY, [folder / "a.yaml", folder / "zz-good.yaml"])
    assert "leads out of its folder" in named.refused[0].reason
    (folder / "same.yaml").symlink_to(folder / "zz-good.yaml")
    assert len(cnncalc.grade(KEY, folder).students) == 2


def test_other_kinds_of_files(folder):
    os.mkfifo(folder / "pipe.yaml")
    (folder / "bad\x1bname.yaml").write_text(GOOD)
    (folder / "latin.yaml").write_bytes("student: Zoë\nanswers: {C: 1}\n".encode("latin-1"))
    (folder / "wide.csv").write_text(
        "student,layer,quantity,answer\nZoë,C,params,760\n", encoding="utf-16"
    )
    (folder / ".DS_Store").write_text("x")
    inside = folder / "Lee_Ann_123"
    inside.mkdir()
    (inside / "hw.yaml").write_text("student: Ann\nanswers: {C: {params: 760}}\n")
    grades = graded(folder)
    assert [s.student for s in grades.students] == ["Ann", "Good", "Zoë"]
    assert [r.reason.partition(":")[0] for r in grades.refused] == [
        "the file's name holds a control character (U+001B)",
        "it is not UTF-8 text (line 1)", "this is not a regular file",
    ]  # fmt: skip
    missing = cnncalc.grade(KEY, [folder / "none.yaml", folder])
    assert "no such file" in missing.refused[0].reason


def test_nothing_to_grade(tmp_path, capsys):
    (tmp_path / "key.yaml").write_text(KEY)
    (tmp_path / "empty").mkdir()
    assert __main__.run(["grade", str(tmp_path / "key.yaml"), str(tmp_path / "empty")]) == 2
    assert "no answer sheets" in capsys.readouterr().err
    assert __main__.run(["grade", "nowhere.yaml", str(tmp_path)]) == 2
    assert "E002" in capsys.readouterr().err


def test_two_answers_to_one_question(folder):
    (folder / "eve.csv").write_text(
        "student,layer,quantity,answer\nEve,C,params,760\nEve,C,params,750\nEve,C,output,32x32x10\n"
        "Eve,C,output,32x32x10\n"
    )
    eve = graded(folder).students[0]
    assert [m.outcome for m in eve.marks] == ["right", "unreadable"]
    assert eve.marks[1].reasons == ("answered twice",)


@settings(deadline=None)
@given(st.lists(st.text(max_size=300), max_size=8))
def test_file_names_are_safe(names):
    found = safe_names(names)
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert name
        assert name[0] not in ".-_"
        assert not set(name) & set('/\\:*?"<>|\0\n ')
        assert os.path.basename(os.path.normpath(name)) == name
        assert len(name.encode("utf-8", "replace")) < 140


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["yaml", "json", "csv"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, ending):
    path = tmp_path_factory.getbasetemp() / f"any.{ending}"
    path.write_bytes(data)
    for one in read_sheets(str(path)):
        if isinstance(one, Refusal):
            assert one.reason.isprintable()
        else:
            assert not bad_name(one.student)


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=30)
@given(SHAPES)
def test_any_answer_is_marked(tmp_path_factory, answer):
    import json

    path = tmp_path_factory.getbasetemp() / "shape.json"
    path.write_text(json.dumps({"student": "X", "answers": {"C": answer, "params": answer}}))
    grades = cnncalc.grade(KEY, path)
    assert len(grades.students) + len(grades.refused) == 1


def test_the_formulas_of_one_sheet_have_bounded_time(tmp_path, monkeypatch):
    monkeypatch.setattr("cnncalc.homework.grading.FORMULA_SECONDS", 0.5)
    layers = "".join(
        f"  - conv: {{filters: 8, kernel: 3, pad: 1}}\n    name: C{i}\n    expect: {{params: 1}}\n"
        for i in range(20)
    ).replace("params: 1}", "params: }")
    lines = ["student,layer,quantity,answer"]
    for student in "AB":
        lines += [f"{student},C{i},params,a*b^{i + 2}*c+d*e*k*n+C*F*{student}" for i in range(20)]
    (tmp_path / "all.csv").write_text("\n".join(lines))
    begin = time.process_time()
    grades = cnncalc.grade(f"input: 32x32x3\nlayers:\n{layers}", tmp_path / "all.csv")
    assert time.process_time() - begin < 20
    assert [s.score for s in grades.students] == [0, 0]


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("cnncalc.homework.files.MOST_FILES", 3)
    for i in range(5):
        (tmp_path / f"{i}.yaml").write_text(GOOD)
    found = list(find([str(tmp_path)]))
    assert len(found) == 4
    assert isinstance(found[-1], Refusal)
