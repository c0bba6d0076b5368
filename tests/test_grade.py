"""`cnncalc grade`: points, errors carried forward, class figures, formats, exit status."""

import csv
import io
import json
import os
import time
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest

import cnncalc
from cnncalc import __main__
from cnncalc.homework.key import KeyRefusedError

KEY = """\
name: AlexNet, first layers
input: 227x227x3
layers:
  - conv: {filters: 96, kernel: 11, stride: 4}
    name: CONV1
    expect: {output: 55x55x96, params: 34944}
  - relu
  - maxpool: {kernel: 3, stride: 2}
    name: POOL1
    expect: {output: 27x27x96, params: 0}
  - conv: {filters: 256, kernel: 5, pad: 2}
    name: CONV2
    expect: {output: 27x27x256, params: 614656, neurons: 186624}
expect: {params: 649600}
"""
RIGHT = {
    "CONV1": {"output": "55x55x96", "params": 34944},
    "POOL1": {"output": "27x27x96", "params": 0},
    "CONV2": {"output": "27x27x256", "params": 614656, "neurons": 186624},
    "network": {"params": 649600},
}


@pytest.fixture
def run(capsys):
    def call(*argv) -> tuple[int, str, str]:
        status = __main__.run(["grade", *map(str, argv)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def key(tmp_path):
    def write(text: str = KEY) -> str:
        path = tmp_path / "key.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def sheet(tmp_path):
    folder = tmp_path / "sheets"
    folder.mkdir()

    def write(answers, student: str = "Ann") -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.json"
        path.write_text(json.dumps({"student": student, "answers": answers}))
        return path

    return write


def changed(**changes):
    """The right answers with some replaced: CONV1={"output": ...}."""
    found = {layer: dict(answers) for layer, answers in RIGHT.items()}
    for layer, answers in changes.items():
        found[layer] = {**found[layer], **answers}
    return found


def marks(grades, student=0):
    return {m.question.title: m for m in grades.students[student].marks}


def test_a_right_sheet_earns_everything(key, sheet):
    grades = cnncalc.grade(key(), sheet(RIGHT))
    (ann,) = grades.students
    assert (ann.score, ann.max_score, grades.status()) == (8, 8, 0)
    assert all(m.right and not m.carried for m in ann.marks)


def test_yaml_json_and_csv_say_the_same(key, sheet, tmp_path):
    text = "student: Ann\nanswers:\n"
    lines = ["student,layer,quantity,answer"]
    for layer, answers in RIGHT.items():
        inside = ", ".join(f"{what}: {answer}" for what, answer in answers.items())
        text += f"  {layer}: {{{inside}}}\n"
        lines += [f"Ann,{layer},{what},{answer}" for what, answer in answers.items()]
    (tmp_path / "ann.yaml").write_text(text)
    (tmp_path / "all.csv").write_text("\ufeff" + "\r\n".join(lines))
    (tmp_path / "german.csv").write_text("\n".join(lines).replace(",", ";"))
    for path in (sheet(RIGHT), *(tmp_path / n for n in ("ann.yaml", "all.csv", "german.csv"))):
        (ann,) = cnncalc.grade(key(), path).students
        assert (ann.student, ann.score) == ("Ann", 8), path


def test_sheets_may_be_short(key, tmp_path):
    path = tmp_path / "Bo.yaml"
    path.write_text("answers: {conv1: 55x55x96, pool1: [27, 27, 96], params: 649,600}\n")
    (bo,) = cnncalc.grade(key(), path).students
    assert (bo.student, bo.score) == ("Bo", 3)  # named after the file; a comma in braces


# --- points and the rest of the key's words --------------------------------------------


def worth(text, tmp_path, answers=RIGHT):
    (tmp_path / "k.yaml").write_text(text)
    (tmp_path / "a.json").write_text(json.dumps({"answers": answers}))
    grades = cnncalc.grade(tmp_path / "k.yaml", tmp_path / "a.json")
    return {m.question.title: m for m in grades.students[0].marks}


def test_points_at_the_layer_at_the_top_and_by_default(tmp_path):
    text = KEY.replace("    name: CONV1\n", "    name: CONV1\n    points: {output: 3}\n")
    text = text.replace("    name: POOL1\n", "    name: POOL1\n    points: 0.5\n")
    text += "points: {CONV2: {neurons: 2}, params: 1/4}\n"
    found = {title: m.points for title, m in worth(text, tmp_path).items()}
    assert found == {
        "CONV1 output": 3, "CONV1 params": 1, "POOL1 output": Fraction(1, 2),
        "POOL1 params": Fraction(1, 2), "CONV2 output": 1, "CONV2 params": 1, "CONV2 neurons": 2,
        "network params": Fraction(1, 4),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("points: {CONV9: 2}", "did you mean 'CONV1'"),
        ("points: {CONV1: {color: 2}}", "no quantity 'color'"),
    ],
)
def test_points_for_nothing_are_refused(key, sheet, run, line, fault):
    status, out, err = run(key(KEY + line + "\n"), sheet(RIGHT))
    assert (status, out) == (2, "")
    assert fault in err
    with pytest.raises(KeyRefusedError):
        cnncalc.grade(KEY + line + "\n", sheet(RIGHT))


@pytest.mark.parametrize("line", ["points: many", "points: -1", "feedback: loud", "partial: 3",
                                  "tolerance: -1%", "tolerance: x"])  # fmt: skip
def test_bad_marking_is_located(key, sheet, run, line):
    status, _, err = run(key(KEY + line + "\n"), sheet(RIGHT))
    assert status == 2
    assert f"key.yaml:{KEY.count(chr(10)) + 1}:" in err


def test_tolerance(tmp_path):
    off = changed(CONV2={"params": 610000}, CONV1={"output": "56x56x96"})
    for line, right in (("", False), ("tolerance: 1%\n", True), ("tolerance: 0.001\n", False),
                        ("tolerance: 5000\n", True), ("tolerance: 4000\n", False)):  # fmt: skip
        found = worth(KEY + line, tmp_path, off)
        assert found["CONV2 params"].right is right, line
        assert not found["CONV1 output"].right  # volumes are exact


def test_partial(tmp_path):
    off = changed(CONV1={"output": "55x55x3"})
    for line, points in (("", 0), ("partial: true\n", Fraction(2, 3)),
                         ("partial: 0.5\n", Fraction(1, 2)), ("partial: false\n", 0)):  # fmt: skip
        assert worth(KEY + line, tmp_path, off)["CONV1 output"].points == points, line
    none = changed(CONV1={"output": "1x2x3"})
    assert worth(KEY + "partial: 0.5\n", tmp_path, none)["CONV1 output"].points == 0


def test_what_a_student_is_told(tmp_path):
    from cnncalc.report.feedback import page

    off = changed(CONV1={"params": 34848})
    (tmp_path / "a.json").write_text(json.dumps({"answers": off}))
    shown = {}
    for level in ("full", "verdict", "none"):
        grades = cnncalc.grade(KEY + f"feedback: {level}\n", tmp_path / "a.json")
        shown[level] = page(grades.key, grades.students[0])
    assert "34944" in shown["full"]
    assert "**wrong**" in shown["verdict"]
    assert "34944" not in shown["verdict"]
    assert "CONV1" not in shown["none"]
    assert all("**7 of 8 points**" in text for text in shown.values())


def test_a_key_without_questions_asks_what_is_answered(sheet):
    text = "input: 32x32x3\nlayers:\n  - conv: {filters: 10, kernel: 5, pad: 2}\n"
    sheets = [sheet({"conv1": {"params": 760}}, "A"), sheet({"conv1": {"output": "32x32x10"}}, "B")]
    grades = cnncalc.grade(text, sheets)
    assert [q.title for q in grades.questions] == ["conv1 output", "conv1 params"]
    assert [(s.score, s.max_score) for s in grades.students] == [(1, 2), (1, 2)]


def test_what_was_not_asked_costs_and_earns_nothing(key, sheet):
    extra = changed(CONV1={"macs": 5, "color": "red"}) | {"CONV3": {"params": 1}}
    (ann,) = cnncalc.grade(key(), sheet(extra)).students
    assert (ann.score, ann.max_score) == (8, 8)
    assert any("did you mean 'CONV" in note for note in ann.notes)
    assert any("'color'" in note for note in ann.notes)


def test_the_keys_own_mistake_is_told(key, sheet, run):
    status, out, _ = run(key(KEY.replace("34944", "34848")), sheet(RIGHT))
    assert status == 0
    assert "the key's own answer" in out
    assert "8/8" in out


# --- error carried forward -----------------------------------------------------------------


def test_a_wrong_volume_costs_its_own_part_only(key, sheet):
    """54 for 55: everything after it computed by hand from 54, as (W-F+2P)/S+1 gives it."""
    own = changed(
        CONV1={"output": "54x54x96"}, POOL1={"output": "26x26x96"},
        CONV2={"output": "26x26x256", "neurons": 26 * 26 * 256},
    )  # fmt: skip
    found = marks(cnncalc.grade(key(), sheet(own)))
    assert [t for t, m in found.items() if not m.right] == ["CONV1 output"]
    assert [t for t, m in found.items() if m.carried] == [
        "POOL1 output", "CONV2 output", "CONV2 neurons",
    ]  # fmt: skip
    assert "CONV1 output 54x54x96" in found["POOL1 output"].reasons[0]


def test_the_right_answer_stays_right_after_a_wrong_one(key, sheet):
    found = marks(cnncalc.grade(key(), sheet(changed(CONV1={"output": "54x54x96"}))))
    assert [t for t, m in found.items() if not m.right] == ["CONV1 output"]
    assert not any(m.carried for m in found.values())


def test_a_wrong_depth_is_carried_into_parameters_and_sums(key, sheet):
    params = (5 * 5 * 48 + 1) * 256
    own = changed(
        CONV1={"output": "55x55x48"}, POOL1={"output": "27x27x48"}, CONV2={"params": params},
        network={"params": 34944 + params},
    )  # fmt: skip
    found = marks(cnncalc.grade(key(), sheet(own)))
    assert [t for t, m in found.items() if not m.right] == ["CONV1 output"]


def test_a_total_is_judged_from_the_students_own_parts(key, sheet):
    own = changed(CONV1={"params": 34848}, network={"params": 34848 + 614656})
    found = marks(cnncalc.grade(key(), sheet(own)))
    assert [t for t, m in found.items() if not m.right] == ["CONV1 params"]
    assert "sum of your own answers" in found["network params"].reasons[0]
    other = changed(CONV1={"params": 34848}, network={"params": 34848 + 614657})
    assert not marks(cnncalc.grade(key(), sheet(other)))["network params"].right


def test_the_chain_breaks_where_the_student_errs_again(key, sheet):
    own = changed(
        CONV1={"output": "54x54x96"}, POOL1={"output": "25x25x96"}, CONV2={"output": "25x25x256"}
    )
    found = marks(cnncalc.grade(key(), sheet(own)))
    assert [t for t, m in found.items() if not m.right] == ["CONV1 output", "POOL1 output"]
    assert found["CONV2 output"].carried
    unread = changed(CONV1={"output": "fifty"}, POOL1={"output": "26x26x96"})
    assert not marks(cnncalc.grade(key(), sheet(unread)))["POOL1 output"].right


@pytest.mark.parametrize("volume", ["1x1x96", "55x55x1", "55x55", "0x0x96", "2x2x96"])
def test_what_makes_the_rest_too_easy_is_not_carried(key, sheet, volume):
    own = changed(CONV1={"output": volume}, POOL1={"output": "1x1x96"})
    (ann,) = cnncalc.grade(key(), sheet(own)).students
    found = {m.question.title: m for m in ann.marks}
    assert not found["POOL1 output"].right
    assert not any(m.carried for m in ann.marks)
    if volume != "0x0x96":
        assert any("is not carried on" in note for note in ann.notes)


def test_does_not_fit_is_not_carried(key, sheet):
    own = changed(CONV1={"output": "does not fit"}, POOL1={"output": "does not fit"})
    (ann,) = cnncalc.grade(key(), sheet(own)).students
    assert {m.question.title for m in ann.marks if not m.right} == {"CONV1 output", "POOL1 output"}
    assert any("'does not fit' is not carried" in note for note in ann.notes)


def test_a_single_size_is_carried_too(sheet):
    text = KEY.replace("output: 55x55x96", "height: 55, width: 55, depth: 96")
    own = changed(CONV1={"height": 55, "width": 55, "depth": 3}, POOL1={"output": "27x27x3"})
    del own["CONV1"]["output"]
    found = marks(cnncalc.grade(text, sheet(own)))
    assert [t for t, m in found.items() if not m.right] == ["CONV1 depth"]


def test_carried_along_branches(sheet):
    text = """\
input: 28x28x192
layers:
  - concat:
      - [{conv: {filters: 64, kernel: 1}, name: A, expect: 28x28x64}]
      - [{conv: {filters: 32, kernel: 3, pad: 1}, name: B, expect: 28x28x32}]
    name: join
    expect: 28x28x96
  - dense: 10
    name: fc
    expect: {params: 752650}
"""
    own = {"join/1/A": {"output": "28x28x60"}, "join/2/B": {"output": "28x28x32"},
           "join": {"output": "28x28x92"}, "fc": {"params": (28 * 28 * 92 + 1) * 10}}  # fmt: skip
    found = marks(cnncalc.grade(text, sheet(own)))
    assert [t for t, m in found.items() if not m.right] == ["join/1/A output"]
    assert found["fc params"].carried


# --- the class ------------------------------------------------------------------------------


def test_rates_and_formats(key, sheet, run, tmp_path):
    sheet(RIGHT, "Ann")
    sheet(changed(CONV1={"params": 34848}), "Bo")
    sheet(changed(CONV1={"params": 34848}), "=HYPERLINK(1)")
    folder = sheet(changed(CONV1={"params": 1, "output": "forty"}), "Di").parent
    status, out, _ = run(key(), folder)
    assert status == 0
    assert "34848 (2)" in out.replace(",", "")
    assert "4 sheets graded, mean 7 of 8" in out
    data = json.loads(run(key(), folder, "--format", "json")[1])
    rates = {(q["layer"], q["quantity"]): q for q in data["questions"]}
    assert rates["CONV1", "params"]["rate"] == 0.25
    assert rates["CONV1", "output"]["unreadable"] == 1
    assert rates["CONV1", "params"]["commonest_wrong"] == {"answer": "34848", "count": 2}
    assert (data["schema"], data["ok"], data["max_score"]) == ("cnncalc.grade/1", True, 8)
    assert [s["score"] for s in data["students"]] == [7, 8, 7, 6]
    rows = list(csv.DictReader(io.StringIO(run(key(), folder, "--format", "csv")[1])))
    assert [r["student"] for r in rows] == ["'=HYPERLINK(1)", "Ann", "Bo", "Di"]
    assert [r["score"] for r in rows] == ["7", "8", "7", "6"]
    assert rows[0]["CONV1 params"] == "0"
    page = run(key(), folder, "--format", "markdown")[1]
    assert page.count("\n# ") == 4
    assert "| CONV1 params | 1 | 1 (25%)" in page


def test_pages(key, sheet, run, tmp_path):
    for student in ("../../etc/passwd", "Ann Lee", "ann lee", ".hidden", "Zoë"):
        folder = sheet(RIGHT, student).parent
    out = tmp_path / "out"
    assert run(key(), folder, "-o", out)[0] == 0
    names = sorted(p.name for p in out.iterdir())
    assert names == ["Ann_Lee.md", "Zoë.md", "ann_lee-2.md", "class.md", "etc_passwd.md",
                     "hidden.md"]  # fmt: skip
    assert not list(tmp_path.glob("**/*.tmp"))
    assert "**8 of 8 points** (100%)" in (out / "Zoë.md").read_text("utf-8")
    run(key(), folder, "--format", "csv", "-o", tmp_path / "class.csv")
    assert len((tmp_path / "class.csv").read_text("utf-8").splitlines()) == 6


def test_nothing_is_written_through_links(key, sheet, run, tmp_path):
    folder = sheet(RIGHT, "Ann").parent
    out, victim = tmp_path / "out", tmp_path / "victim.txt"
    out.mkdir()
    victim.write_text("mine")
    (out / "Ann.md").symlink_to(victim)
    assert run(key(), folder, "-o", out)[0] == 0
    assert victim.read_text() == "mine"
    assert not (out / "Ann.md").is_symlink()
    away = tmp_path / "away"
    away.mkdir()
    (out / "Ann").symlink_to(away)
    status, _, err = run(key(), folder, "-o", out, "--format", "gradescope")
    assert (status, list(away.iterdir())) == (2, [])
    assert "symbolic link" in err


# Gradescope's documented output format: what is required, and the values of each field.
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
RESULTS = {
    "type": "object",
    "required": ["score", "tests"],
    "properties": {
        "score": {"type": "number"},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "score", "max_score", "output", "visibility"],
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": FORMAT,
                    "visibility": VISIBILITY,
                },
            },
        },
    },
}


def test_gradescope_results(key, sheet, run, tmp_path):
    sheet(changed(CONV1={"params": 34848}), "Ann")
    folder = sheet(RIGHT, "Bo").parent
    out = tmp_path / "out"
    assert run(key(), folder, "--format", "gradescope", "-o", out)[0] == 0
    found = json.loads((out / "Ann" / "results.json").read_text())
    jsonschema.validate(found, RESULTS)
    assert (found["score"], found["max_score"]) == (7, 8)
    assert sum(t["score"] for t in found["tests"]) == 7
    (test,) = [t for t in found["tests"] if t["status"] == "failed"]
    assert test["name"] == "CONV1 params"
    assert "34944" in test["output"]
    hidden = key(KEY + "feedback: none\n")
    found = json.loads(run(hidden, folder / "0.json", "--format", "gradescope")[1])
    assert {t["visibility"] for t in found["tests"]} == {"hidden"}
    assert "34944" not in json.dumps(found)


def test_the_autograder_layout_works(key, run, tmp_path):
    """Its own program is run on a submission, with packages as pip would have put them."""
    import subprocess
    import sys

    root = tmp_path / "autograder"
    status, out, _ = run("--init-gradescope", key(), root / "source")
    assert status == 0
    assert "run_autograder" in out
    assert os.access(root / "source" / "run_autograder", os.X_OK)
    setup = (root / "source" / "setup.sh").read_text()
    assert "pip install" in setup
    assert not {"curl", "wget", "apt-get", "git "} & set(setup.split())
    submission = root / "submission"
    submission.mkdir()
    (submission / "hw.yaml").write_text("student: Ann\nanswers: {CONV1: {output: 55x55x96}}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.14").symlink_to(sys.executable)
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "AUTOGRADER_ROOT": str(root)}
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    (root / "packages").symlink_to(packages)
    for sheet, score in (("", 1), ("answers: [oops\n", 0)):
        if sheet:
            (submission / "hw.yaml").write_text(sheet)
        done = subprocess.run(
            [root / "source" / "run_autograder"], env=env, cwd=root, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads((root / "results" / "results.json").read_text())
        jsonschema.validate(found, RESULTS)
        assert (found["score"], found["max_score"]) == (score, 8)
    assert "could not be graded" in found["output"]
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", root / "source" / script], check=True)
    other = tmp_path / "full"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    status, _, err = run("--init-gradescope", key(), other)
    assert (status, [p.name for p in other.iterdir()]) == (2, ["thesis.tex"])
    assert "holds other files" in err


def test_a_thousand_sheets_of_twenty_answers(tmp_path):
    """Well under a minute on two cores; here one."""
    text = "input: 224x224x3\nlayers:\n"
    answers = {}
    for i in range(10):
        text += f"  - conv: {{filters: {16 + i}, kernel: 3, pad: 1}}\n    name: C{i}\n"
        depth = 3 if i == 0 else 15 + i
        volume, params = f"224x224x{16 + i}", (9 * depth + 1) * (16 + i)
        text += f"    expect: {{output: {volume}, params: {params}}}\n"
        answers[f"C{i}"] = [volume, params]
    lines = ["student,layer,quantity,answer"]
    for n in range(1000):
        for i, (layer, (volume, params)) in enumerate(answers.items()):
            wrong = (n * 7 + i * 3) % 11 == 0
            lines.append(f"S{n},{layer},output,{volume if not wrong else f'222x222x{16 + i}'}")
            lines.append(f"S{n},{layer},params,{params + n if wrong else params}")
    (tmp_path / "all.csv").write_text("\n".join(lines))
    begin = time.process_time()
    grades = cnncalc.grade(text, tmp_path / "all.csv")
    assert time.process_time() - begin < 30
    assert len(grades.students) == 1000
    assert 0 < grades.rates[0].share < 1
