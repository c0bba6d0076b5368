"""Every op to every target: written and executed with the engine's values, or refused by reason."""

import pytest
from export_values import Case

from cnncalc.exporters import ExportError, export
from cnncalc.layers import REGISTRY

DIALECTS = {"lstm": ("cs231n", "torch"), "gru": ("cs231n", "torch", "jax")}
# What a target refuses of an op's examples, and the words that say why.
REFUSED = {
    "torch": {"opaque": "sizes alone"},
    "onnx": {"opaque": "sizes alone", "lrn": "odd sizes"},
}  # fmt: skip


def cases(op):
    for dialect in DIALECTS.get(op, ("cs231n",)):
        for number in range(len(REGISTRY[op].examples)):
            yield Case(op, number, dialect)


def executed(op, target):
    """The messages of what was refused; all else is executed and compared."""
    refusals = []
    for case in cases(op):
        try:
            found = getattr(case, target)()
        except ExportError as error:
            refusals.append(str(error))
            continue
        case.compare(found)
    return refusals


@pytest.mark.parametrize("target", REFUSED)
@pytest.mark.parametrize("op", REGISTRY)
def test_every_op(op, target):
    """PyTorch and ONNX Runtime give the engine's values with the engine's weights."""
    refusals = executed(op, target)
    assert bool(refusals) == (op in REFUSED[target]), refusals
    assert all("it: " in text and REFUSED[target][op] in text for text in refusals)


def test_a_refusal_names_file_line_and_what_to_do(tmp_path):
    import cnncalc

    path = tmp_path / "net.yaml"
    path.write_text(
        "input: 8x8x4\nlayers:\n  - relu\n  - gelu:\n    name: gate\n", encoding="utf-8"
    )
    with pytest.raises(ExportError) as error:
        export(cnncalc.load(str(path)), "caffe")
    assert "net.yaml:4: gate: " in str(error.value)
    assert "--to torch" in str(error.value)


def test_the_comparison_can_fail(monkeypatch):
    """A gate in another place is seen."""
    case = Case("lstm", 0, "torch")
    case.params["kernel"] = case.params["kernel"][:, ::-1].copy()
    with pytest.raises(AssertionError):
        case.compare(case.torch())
