"""Question sheets with keys, and fresh exercises whose keys JAX confirms."""

import json
import re

import pytest

import cnncalc
from cnncalc import __main__
from cnncalc.homework import quiz as quizzes
from cnncalc.homework.questions import questions
from cnncalc.homework.recheck import recheck
from cnncalc.homework.sheets import of_yaml
from cnncalc.report import questions as shown


@pytest.fixture
def run(capsys):
    def call(*argv) -> tuple[int, str, str]:
        status = __main__.run([str(a) for a in argv])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def answers(asked):
    """The key's own answers as a sheet."""
    return {
        part.layer or "network": {blank.quantity: blank.answer for blank in part.blanks}
        for part in asked.parts
        if part.blanks
    }


# --- question sheets ---------------------------------------------------------------------


def test_the_sheet_has_blanks_and_the_key_the_answers(run):
    status, out, _ = run("explain", "alexnet", "--question", "--format", "markdown")
    assert status == 0
    sheet, key = out.split("\n---\n")
    asked = questions(cnncalc.load("alexnet"))
    assert sheet.count("\\_" * 12) == asked.asked
    assert "96 filters of 11x11, stride 4, padding 0" in sheet
    assert "55x55x96" not in sheet
    assert "34944" not in sheet.replace(",", "")
    assert "output volume: **55x55x96**" in key
    assert "**34944**" in key
    assert "**62378344**" in key


@pytest.mark.parametrize("name", ["alexnet", "lenet5", "googlenet", "unet", "lecture/exercise-1",
                                  "lecture/conv-stride-3", "resnet18"])  # fmt: skip
def test_the_key_earns_every_point_and_an_empty_sheet_none(name, tmp_path):
    asked = questions(cnncalc.load(name))
    blank = of_yaml(shown.yaml_sheet(asked))
    assert blank.get("answers") is not None
    (tmp_path / "empty.yaml").write_text(shown.yaml_sheet(asked))
    (tmp_path / "full.json").write_text(json.dumps({"answers": answers(asked)}))
    empty, full = cnncalc.grade(name, [tmp_path / "empty.yaml", tmp_path / "full.json"]).students
    assert full.score == full.max_score == asked.asked
    assert (empty.score, len(empty.asked)) == (0, asked.asked)


def test_nothing_is_asked_beyond_what_does_not_fit():
    text = "input: 7x7x1\nlayers:\n  - conv: {filters: 1, kernel: 3, stride: 3}\n  - dense: 3\n"
    found = questions(cnncalc.load(text))
    assert [(p.layer, [b.answer for b in p.blanks]) for p in found.parts] == [
        ("conv1", ["does not fit"]), ("dense1", []),
    ]  # fmt: skip


def test_it_asks_what_the_spec_expects():
    text = """\
input: HxWx3
layers:
  - conv: {filters: 8, kernel: 3, pad: 1}
    expect: {weights: 216, receptive_field: 3}
  - relu
"""
    (conv, relu) = questions(cnncalc.load(text)).parts
    assert [(b.quantity, b.answer) for b in conv.blanks] == [
        ("weights", "216"), ("receptive_field", "3x3"),
    ]  # fmt: skip
    assert relu.blanks == ()


def test_one_layer_and_both_files(run, tmp_path):
    out = tmp_path / "out"
    argv = ("explain", "alexnet", "--question", "--layer", "CONV2", "--format", "latex", "-o", out)
    assert run(*argv)[:2] == (0, "")
    sheet, key = (out / "question.tex").read_text(), (out / "key.tex").read_text()
    assert "Input: 27x27x96." in sheet
    assert sheet.count(r"\underline{\hspace{4cm}}") == 3
    assert r"\textbf{614656}" in key
    assert "CONV3" not in sheet + key
    status, _, err = run("explain", "alexnet", "--question", "--layer", "CONV9")
    assert (status, "CONV" in err) == (2, True)
    assert run("explain", "nowhere", "--question")[0] == 2


def environments(text):
    """Whether every LaTeX environment closes where it opened."""
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        elif not stack or stack.pop() != name:
            return False
    return not stack


@pytest.mark.parametrize("name", ["googlenet", "unet", "symbolic-vgg-block"])
def test_latex_is_well_formed(name):
    text = shown.render([questions(cnncalc.load(name))], "latex")
    assert environments(text)
    assert not re.search(r"(?<!\\)[_&#%](?!.*\\usepackage)", text.split("\n", 1)[1])
    body = re.sub(r"\\[{}]", "", text)
    assert body.count("{") == body.count("}")


# --- quizzes ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_quiz(run):
    argv = ("quiz", "--seed", 5, "-n", 8, "--no-run")
    first, second = run(*argv), run(*argv)
    assert first == second
    assert first[0] == 0
    assert run("quiz", "--seed", 6, "-n", 8, "--no-run")[1] != first[1]


def test_these_exercises_stay_as_they_are():
    """Quizzes are handed out by seed: these two were written down when they were first drawn."""
    one, two = quizzes.exercise(3, 2, 0), quizzes.exercise(3, 4, 2)
    assert one.spec.splitlines()[1:4] == [
        "input: 28x28x16", "layers:",
        "  - conv: {filters: 20, kernel: 3, stride: 1, pad: 1}",
    ]  # fmt: skip
    assert (two.fits, two.spec.splitlines()[1]) == (False, "input: 28x28x1")


@pytest.mark.parametrize("level", quizzes.LEVELS)
def test_numbers_work_out_and_some_do_not_fit(level):
    made = list(quizzes.quiz(11, [level], 40))
    assert 8 <= sum(not one.fits for one in made) <= 12
    assert len({one.spec.split("\n", 1)[1] for one in made}) > 30  # fresh ones
    for one in made:
        misfit = any(d.code == "S001" for d in one.report.diagnostics)
        assert misfit is not one.fits, one.spec
        assert one.report.status() == 0, one.spec  # a misfit is as expected
        assert all(e.verdict == "right" for e in one.report.expectations)
        assert one.questions.asked == len(one.report.expectations) > 0
        assert all(n >= 3 for n in one.report.input_shapes["input"][:2])


def test_sizes_by_hand():
    """The exercises that do fit, by the lecture's formula alone."""
    for one in quizzes.quiz(2, [1, 2], 40):
        text = one.spec
        side = int(re.search(r"input: (\d+)x", text)[1])
        fields = {k: int(v) for k, v in re.findall(r"(kernel|stride|pad): (\d+)", text)}
        top = side - fields["kernel"] + 2 * fields.get("pad", 0)
        assert (top % fields["stride"] == 0) is one.fits, text
        answer = answers(one.questions)[one.questions.parts[0].layer]["output"]
        if one.fits:
            assert answer.startswith(f"{top // fields['stride'] + 1}x"), text
        else:
            assert answer == "does not fit"


@pytest.mark.parametrize("level", quizzes.LEVELS)
def test_jax_confirms_the_key(level):
    for index in range(4):  # one of them does not fit
        quizzes.confirm(quizzes.exercise(1, level, index))


def test_jax_finds_a_wrong_key():
    """Each kind of answer, falsified, is found out."""
    one = quizzes.exercise(3, 4, 0)
    asked = one.questions
    assert recheck(one.report, asked) == []
    for i, part in enumerate(asked.parts):
        for j, blank in enumerate(part.blanks):
            wrong = "1x1x1" if "x" in blank.answer else str(int(blank.answer) + 1)
            blanks = [*part.blanks]
            blanks[j] = blank._replace(answer=wrong)
            parts = [*asked.parts]
            parts[i] = part._replace(blanks=tuple(blanks))
            found = recheck(one.report, asked._replace(parts=tuple(parts)))
            assert found, (part.layer, blank.quantity)
            assert wrong in found[0]
    false = one._replace(spec=one.spec.replace("output: ", "output: 9"))
    bad = cnncalc.load(false.spec).derive()
    with pytest.raises(quizzes.QuizError):
        quizzes.confirm(false._replace(report=bad))
    dilated = next(e for e in (quizzes.exercise(3, 5, i) for i in range(20))
                   if e.fits and "receptive_field" in e.spec)  # fmt: skip
    parts = [p._replace(blanks=tuple(
        b._replace(answer="4x4") if b.quantity == "receptive_field" else b for b in p.blanks
    )) for p in dilated.questions.parts]  # fmt: skip
    assert "JAX says" in recheck(dilated.report, dilated.questions._replace(parts=tuple(parts)))[0]


def test_a_quiz_in_a_folder_can_be_graded(run, tmp_path):
    out = tmp_path / "quiz"
    assert run("quiz", "--seed", 3, "--level", "1..4", "-n", 4, "-o", out)[:2] == (0, "")
    assert sorted(p.name for p in out.iterdir()) == [
        *(f"exercise-{i:02}.yaml" for i in range(1, 5)), "key.md", "quiz.md",
    ]  # fmt: skip
    assert "confirmed on JAX" in (out / "key.md").read_text("utf-8")
    assert (out / "quiz.md").read_text("utf-8").count("```yaml") == 4
    for i in range(1, 5):
        spec = out / f"exercise-{i:02}.yaml"
        asked = questions(cnncalc.load(spec))
        (tmp_path / "a.json").write_text(json.dumps({"answers": answers(asked)}))
        (full,) = cnncalc.grade(spec, tmp_path / "a.json").students
        assert full.score == full.max_score > 0


@pytest.mark.parametrize("format", ["markdown", "latex", "text", "json"])
def test_formats(run, format):
    status, out, err = run("quiz", "-n", "3", "--level", "2", "--format", format, "--no-run")
    assert (status, err) == (0, "")
    if format == "json":
        data = json.loads(out)
        assert (data["schema"], data["checked_on_jax"]) == ("cnncalc.quiz/1", False)
        assert [e["number"] for e in data["exercises"]] == [1, 2, 3]
    else:
        assert "Exercise 3" in out
        assert "Not run on JAX" in out
    if format == "latex":
        assert environments(out)


@pytest.mark.parametrize("level", ["0", "6", "4..2", "x", "1.5", ""])
def test_bad_levels(run, level):
    status, out, err = run("quiz", "--level", level)
    assert (status, out) == (2, "")
    assert "--level is 1 to 5" in err
