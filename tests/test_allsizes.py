"""All sizes at once: proofs by normal form, exact points, counterexamples, drawn sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc.formula import Number, Symbol, ceil_div, equal, evaluate, floor_div, maximum
from cnncalc.jaxrun import RunOptions, run
from cnncalc.jaxrun.dims import Dims, UntranslatableError, read_dim
from cnncalc.jaxrun.sizes import Sizes
from cnncalc.layers import REGISTRY, Conv, MaxPool, ReLU
from cnncalc.layers.base import Misfit
from cnncalc.network import Network
from cnncalc.rows import Report

SHAPES = RunOptions(only_shapes=True)


def check(
    *layers: Any, volume: Any = "HxWx3", options: RunOptions = SHAPES, **network: Any
) -> Report:
    return run(Network(volume, layers, **network).derive(), options)


def spec(text: str, options: RunOptions = SHAPES) -> Report:
    return run(cnncalc.load(text).derive(), options)


def message(report: Report, code: str) -> str:
    return next(d.message for d in report.diagnostics if d.code == code)


class TestProofs:
    def test_a_chain_of_strides(self) -> None:
        report = check(
            Conv(filters=96, kernel=11, stride=4),
            MaxPool(kernel=3, stride=2),
            Conv(filters=8, kernel=5, stride=2, pad=2),
        )
        assert report.run.all_sizes == "proved"
        assert report.run.status == "agrees"
        assert "3 layers proved by normal form" in report.run.detail
        assert str(report.layers[-1].output[0]) == "floor((H - 19)/16) + 1"
        assert all(row.run is not None and row.run.agrees for row in report.layers)

    def test_symbols_in_fields_and_groups(self) -> None:
        report = spec(
            "input: HxWx3\nassume: {k: {min: 1}}\nlayers:\n"
            "- conv: {filters: 2*k, kernel: 3, pad: 1}\n"
            "- conv: {filters: 4*k, kernel: 3, pad: 1, groups: k}\n"
            "- maxpool: 2\n- dense: 10\n"
        )
        assert report.run.all_sizes == "proved"

    def test_flattening_floors(self) -> None:
        report = check(Conv(filters=4, kernel=3, stride=2), REGISTRY["dense"](units=5))
        assert report.run.all_sizes == "proved"

    @pytest.mark.parametrize(
        ("dialect", "layer"),
        [
            ("caffe", "maxpool: {kernel: 3, stride: 2, pad: 1}"),
            ("torch", "maxpool: {kernel: 3, stride: 2, pad: 1, round: ceil}"),
            ("keras", "maxpool: {kernel: 3, stride: 2, pad: same}"),
            ("keras", "conv_transpose: {filters: 3, kernel: 4, stride: 2, pad: same}"),
            ("torch", "upsample: 2"),
        ],
    )
    def test_dialects(self, dialect: str, layer: str) -> None:
        report = spec(f"input: HxWx4\ndialect: {dialect}\nlayers:\n- {layer}\n")
        assert report.run.all_sizes == "proved"

    def test_joins_of_equal_sizes(self) -> None:
        report = spec(
            "input: HxWx4\nlayers:\n- conv: {filters: 4, kernel: 3, stride: 2, pad: 1}\n"
            "- add: [[{conv: {filters: 4, kernel: 3, pad: 1}}], []]\n"
            "- concat: [[relu], [sigmoid]]\n"
        )
        assert report.run.all_sizes == "proved"

    def test_a_multiple_is_respected(self) -> None:
        assume = {"H": {"min": 32, "multiple_of": 32}, "W": {"min": 64, "multiple_of": 32}}
        report = check(*[MaxPool(kernel=2, stride=2)] * 5, assume=assume)
        assert report.run.all_sizes == "proved"
        assert "at H = 32, W = 64; " in report.run.detail


class TestCases:
    """What JAX proves for some sizes only: solved, or split into residue classes."""

    @pytest.mark.parametrize(
        "text",
        [
            "input: HxWx4\nlayers:\n- window_partition: {window: 7}\n",
            "input: HxWx4\nlayers:\n- window_partition: {window: 4, grid: true}\n",
            "input: HxWx6\nlayers:\n- reshape: [10, -1]\n",
            "input: HxWx4\nlayers:\n- maxpool: 2\n- conv_transpose: {filters: 4, kernel: 2, "
            "stride: 2}\n- add: [[], [{identity: {}, from: input}]]\n",
            "input: HxWx4\nlayers:\n- maxpool: 2\n- upsample: 2\n"
            "- concat: [[], [{crop: 1, from: input}]]\n",
        ],
    )
    def test_sizes_that_fit(self, text: str) -> None:
        report = spec(text)
        assert report.run.all_sizes == "proved"
        assert "1 of them for the sizes at which they fit" in report.run.detail

    @pytest.mark.parametrize("dialect", ["keras", "jax", "onnx:17"])
    @pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 3), (2, 3)])
    def test_same_padding(self, dialect: str, kernel: int, stride: int) -> None:
        layer = f"conv: {{filters: 4, kernel: {kernel}, stride: {stride}, pad: same}}"
        report = spec(f"input: HxWx4\ndialect: {dialect}\nlayers:\n- {layer}\n")
        assert report.run.all_sizes == "proved"

    def test_a_kernel_that_must_be_odd(self) -> None:
        report = spec(
            "input: HxWx3\nassume: {k: {min: 1}}\nlayers:\n"
            "- conv: {filters: 4, kernel: k, pad: (k-1)/2}\n- relu\n"
        )
        assert report.run.all_sizes == "proved"
        assert report.run.status == "agrees"

    @pytest.mark.parametrize("wrong", [0, 3, 6])
    def test_a_wrong_class_is_found(self, wrong: int) -> None:
        """A rule that is right at all sizes but one residue class modulo 7."""

        class Partition(REGISTRY["window_partition"]):  # type: ignore[misc]
            def output(self, inputs: Any, dialect: Any) -> Any:
                high, *rest = super().output(inputs, dialect)
                n = inputs[0][0]
                bump = ceil_div((n // 2) % 7 - wrong, 7) - ceil_div((n // 2) % 7 - wrong - 1, 7)
                return (high + bump, *rest)

        report = check(Partition(window=2), volume="HxWx3")
        assert report.run.all_sizes == "disproved"
        assert "derived" in message(report, "R006")

    def test_equal_layers_are_traced_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from cnncalc.jaxrun import induction

        seen: list[Any] = []
        real = induction.trace
        monkeypatch.setattr(induction, "trace", lambda *a: seen.append(a) or real(*a))
        layers = [Conv(filters=3, kernel=3, stride=2, pad=1), ReLU()] * 9
        assert check(*layers).run.all_sizes == "proved"
        assert len(seen) == 2


class TestBundled:
    @pytest.mark.parametrize(
        "name", ["alexnet", "gru-speech", "mobilenet_v1", "resnet50", "swin_t", "unet"]
    )
    def test_proved_at_all_sizes(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(Path(__file__).parent / "bench"))
        from proofs import one

        found = one(name)
        assert (found["verdict"], found["cpu"] < 10) == ("proved", True), found


class TestPoints:
    def test_what_jax_cannot_trace_is_checked_at_points(self) -> None:
        class Stubborn(ReLU):
            def reference(self, run: Any, x: Any) -> Any:
                return super().reference(run, x[:, : int(x.shape[1])])

        report = check(Stubborn())
        assert report.run.all_sizes == "checked"
        assert report.run.status == "agrees"
        assert "checked exactly at 96 sizes (relu1)" in report.run.detail
        assert report.layers[0].run is not None
        assert report.layers[0].run.detail == "checked at 96 sizes"

    def test_a_counterexample(self) -> None:
        class RoundsUp(Conv):
            def output(self, inputs: Any, dialect: Any) -> Any:
                *space, _ = inputs[0]
                return (*(ceil_div(n - 3, 2) + 1 for n in space), self.filters)

        report = check(RoundsUp(filters=2, kernel=3, stride=2), ReLU(), dialect="torch")
        assert report.run.all_sizes == "disproved"
        assert report.run.status == "disagrees"
        assert report.status() == 1
        text = message(report, "R006")
        assert "'conv1': at H = 4, W = 3 the real output is 1x1x2" in text
        assert "derived 2x1x2" in text
        assert report.layers[0].run is not None
        assert not report.layers[0].run.agrees

    def test_a_wrong_weight(self) -> None:
        class Transposed(Conv):
            def weights(self, inputs: Any, dialect: Any) -> Any:
                a, b, c, d = super().weights(inputs, dialect)["kernel"]
                return {"kernel": (a, b, d, c), "bias": (self.filters,)}

        report = check(Transposed(filters=2, kernel=3))
        assert "kernel 3x3x3x2" in message(report, "R006")
        assert report.run.all_sizes == "disproved"

    def test_a_missing_weight(self) -> None:
        class NoBias(Conv):
            def weights(self, inputs: Any, dialect: Any) -> Any:
                return {"kernel": super().weights(inputs, dialect)["kernel"]}

        assert "['bias', 'kernel']" in message(check(NoBias(filters=2, kernel=3)), "R006")

    def test_numbers_need_no_proof(self) -> None:
        assert check(ReLU(), volume="4x4x3").run.all_sizes == "skipped"


class TestDrawnSizes:
    def test_real_tensors_at_several_sizes(self) -> None:
        report = check(
            Conv(filters=4, kernel=11, stride=4), MaxPool(kernel=3, stride=2), options=RunOptions()
        )
        assert "ran 2 layers, 1,456 parameters on cpu at H = 19, W = 19; " in report.run.detail
        assert report.layers[0].run is not None
        assert report.layers[0].run.output == (3, 3, 4)

    def test_they_fit_every_layer(self) -> None:
        report = Network(
            "HxWx3",
            [Conv(filters=4, kernel=7, stride=3), MaxPool(kernel=3, stride=2)],
            assume={"H": {"min": 5, "max": 99}, "W": {"min": 20, "max": 90, "multiple_of": 5}},
        ).derive()
        drawn = Sizes(report).draw(3, np.random.default_rng(0))
        assert len(drawn) == 3
        for env in drawn:
            assert env["W"] % 5 == 0
            for n in env.values():
                assert (n - 7) % 3 == 0
                assert ((n - 7) // 3 + 1 - 3) % 2 == 0

    def test_the_seed_decides(self) -> None:
        report = Network("HxWx3", [ReLU()]).derive()
        draws = [Sizes(report).draw(3, np.random.default_rng(n)) for n in (1, 1, 2)]
        assert draws[0] == draws[1]
        assert draws[0] != draws[2]

    def test_no_size_works(self) -> None:
        class Never(ReLU):
            def misfits(self, inputs: Any, dialect: Any) -> Any:
                if isinstance(inputs[0][0], int):
                    yield Misfit("S003", "it never fits")

        report = check(Never())
        assert "no sizes for H, W were found" in message(report, "R010")
        assert report.run.status == "failed"
        assert report.status() == 1

    def test_known_misfits_are_run_as_far_as_they_go(self) -> None:
        assume = {"H": {"max": 8}, "W": {"max": 8}}
        report = check(ReLU(), MaxPool(kernel=9), assume=assume)
        assert report.run.status == "failed"
        assert report.run.detail.startswith("traced 1 of 2 layers")
        assert "JAX gives 0x0x3" in report.run.detail
        assert not [d for d in report.diagnostics if d.code.startswith("R")]

    def test_strides_that_never_fit_run_floored(self) -> None:
        assume = {name: {"min": 2, "multiple_of": 2} for name in "HW"}
        report = check(Conv(filters=2, kernel=3, stride=2), assume=assume, options=RunOptions())
        assert report.run.all_sizes == "proved"
        assert "at H = 4, W = 4; " in report.run.detail
        assert "row 4 and column 4" in message(report, "R008")


class TestDimensions:
    def test_floors_become_dimensions_of_their_own(self) -> None:
        H, dims = Symbol("H", min=11), Dims()
        size = floor_div(H - 11, 4) + 1
        assert dims.text(size * size * 96) == "96*f0*f0"
        assert dims.text(size + 2) == "1*f0 + 2"
        assert dims.text(2 * H) == "2*v_H"
        assert equal(dims.read("f0"), size)

    def test_multiples_make_halves_whole(self) -> None:
        dims = Dims()
        assert dims.text(Symbol("H", multiple_of=4) / 2) == "2*v_H"

    def test_a_quotient_is_a_dimension(self) -> None:
        dims = Dims()
        assert dims.text(Symbol("H") / Symbol("s")) == "1*f0"

    def test_what_cannot_be_said(self) -> None:
        from fractions import Fraction

        with pytest.raises(UntranslatableError):
            Dims().text(Fraction(1, 2))
        with pytest.raises(UntranslatableError):
            Dims().read("sin(v_H)")

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(-9, 9))
    def test_jax_and_we_mean_the_same(self, n: int, a: int, b: int, c: int) -> None:
        from jax import export

        (x,) = export.symbolic_shape("x")
        H = Symbol("H")
        for dim, ours in (
            ((a * x + c) // b, floor_div(a * H + c, b)),
            ((a * x + c) % b, (a * H + c) % b),
            (-((-x * x) // b), ceil_div(H * H, b)),
            (export.symbolic_shape(f"max(x, {a})")[0] + c, maximum(H, a) + c),
        ):
            read: Number = read_dim(str(dim), {"x": H})
            assert equal(read, ours) or evaluate(read, {"H": n}) == evaluate(ours, {"H": n})
