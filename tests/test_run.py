"""The real run: what it compares, what it catches, and what it refuses."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cnncalc
from cnncalc.jaxrun import RunOptions, devices, memory, run
from cnncalc.jaxrun.forward import Setting, forward
from cnncalc.jaxrun.layer import make_arrays, trace
from cnncalc.jaxrun.probe import never_read
from cnncalc.jaxrun.sizes import at
from cnncalc.layers import REGISTRY, Conv, Dense, MaxPool, ReLU
from cnncalc.network import Network
from cnncalc.rows import Report

DEFAULT = RunOptions()


def check(*layers: Any, volume: Any = "8x8x3", options: RunOptions = DEFAULT) -> Report:
    return run(Network(volume, layers).derive(), options)


def spec(text: str, options: RunOptions = DEFAULT) -> Report:
    return run(cnncalc.load(text).derive(), options)


def codes(report: Report) -> list[str]:
    return [d.code for d in report.diagnostics if d.code.startswith("R")]


def only(report: Report, code: str) -> str:
    assert codes(report) == [code]
    return next(d.message for d in report.diagnostics if d.code == code)


class TestAgreement:
    def test_a_whole_network(self) -> None:
        report = spec("lenet5")
        assert report.run.status == "agrees"
        assert report.run.platform == "cpu"
        assert report.run.devices >= 1
        assert report.run.all_sizes == "skipped"
        assert report.run.detail == (
            "ran 13 layers, 60,840 parameters on cpu: every shape, weight and count agrees"
        )

    def test_every_row_has_its_real_shapes(self) -> None:
        report = check(Conv(filters=10, kernel=5, pad=2), ReLU(), Dense(units=4), volume="32x32x3")
        conv, relu, dense = (row.run for row in report.layers)
        assert conv is not None
        assert conv.output == (32, 32, 10)
        assert conv.weights == {"kernel": (5, 5, 3, 10), "bias": (10,)}
        assert conv.params == 760
        assert relu is not None
        assert (relu.params, relu.weights) == (0, {})
        assert dense is not None
        assert dense.weights["kernel"] == (10240, 4)
        assert all(run.agrees and run.finite for run in (conv, relu, dense))

    def test_only_shapes(self) -> None:
        huge = "input: 100000x100000x3\nlayers:\n- conv: {filters: 1000, kernel: 3, pad: 1}\n"
        report = spec(huge, RunOptions(only_shapes=True))
        assert report.run.status == "agrees"
        assert "without allocating" in report.run.detail
        assert report.layers[0].run is not None
        assert report.layers[0].run.output == (100000, 100000, 1000)

    def test_a_batch(self) -> None:
        report = check(Conv(filters=2, kernel=3), Dense(units=3), options=RunOptions(batch=5))
        assert report.run.status == "agrees"

    def test_branches_and_several_inputs(self) -> None:
        text = "inputs: {a: 4x4x2, b: 4x4x3}\nlayers:\n- concat\n  from: [a, b]\n- relu\n"
        report = spec(text.replace("- concat\n ", "- concat:\n "))
        assert report.run.status == "agrees"
        assert report.layers[-1].run is not None
        assert report.layers[-1].run.output == (4, 4, 5)

    def test_progress_is_told_layer_by_layer(self) -> None:
        seen: list[tuple[int, int, str]] = []
        report = Network("8x8x3", [ReLU(), Dense(units=2)]).derive()
        run(report, DEFAULT, lambda *step: seen.append(step))
        assert seen == [(0, 2, "relu1"), (1, 2, "dense1"), (2, 2, "")]

    def test_nothing_to_run(self) -> None:
        assert run(Network("8x8x3", []).derive(), DEFAULT).run.status == "skipped"


class TestDisagreement:
    def test_a_wrong_size(self) -> None:
        class TooLarge(Conv):
            def output(self, inputs: Any, dialect: Any) -> Any:
                *space, channels = super().output(inputs, dialect)
                return (*(n + 1 for n in space), channels)

        report = check(TooLarge(filters=2, kernel=3), ReLU(), Dense(units=2))
        assert only(report, "R001") == "the real output of 'conv1' is 6x6x2, derived 7x7x2"
        assert report.run.status == "disagrees"
        assert report.status() == 1
        verdicts = [row.run.agrees for row in report.layers if row.run]
        assert verdicts == [False, True, True]

    def test_a_wrong_reference(self) -> None:
        class Cropped(ReLU):
            def reference(self, run: Any, *xs: Any) -> Any:
                return xs[0][:, 1:]

        assert "is 7x8x3, derived 8x8x3" in only(check(Cropped()), "R001")

    def test_a_lost_batch(self) -> None:
        class Summed(ReLU):
            def reference(self, run: Any, *xs: Any) -> Any:
                return xs[0].sum(axis=0, keepdims=True)

        report = check(Summed(), options=RunOptions(batch=2))
        assert "without the batch of 2" in only(report, "R001")

    def test_a_wrong_weight(self) -> None:
        class Swapped(Conv):
            def weights(self, inputs: Any, dialect: Any) -> Any:
                found = super().weights(inputs, dialect)
                a, b, c, d = found["kernel"]
                return {**found, "kernel": (a, b, d, c)}

        message = only(check(Swapped(filters=2, kernel=3)), "R002")
        assert message == "the real 'conv1' has weight 'kernel' 3x3x3x2, derived 3x3x2x3"

    def test_a_forgotten_weight(self) -> None:
        class NoBias(Conv):
            def weights(self, inputs: Any, dialect: Any) -> Any:
                return {"kernel": super().weights(inputs, dialect)["kernel"]}

        report = check(NoBias(filters=2, kernel=3))
        assert codes(report) == ["R002", "R002"]
        messages = [d.message for d in report.diagnostics if d.code == "R002"]
        assert "'bias' of 2 that was not derived" in messages[0]
        assert "has 56 parameters, derived 54" in messages[1]

    def test_not_finite(self) -> None:
        class Broken(ReLU):
            def reference(self, run: Any, *xs: Any) -> Any:
                return xs[0] / 0.0

        report = check(ReLU(), Broken(), ReLU())
        assert "192 of the 192 values that 'relu2' computes" in only(report, "R003")
        assert [row.run.finite for row in report.layers if row.run] == [True, False, False]

    def test_an_exception_is_one_sentence(self) -> None:
        class Refuses(ReLU):
            def reference(self, run: Any, *xs: Any) -> Any:
                raise ValueError("no such thing\nand a second line")

        report = check(ReLU(), Refuses(), ReLU())
        assert only(report, "R009") == "JAX does not run 'relu2': no such thing"
        assert report.run.status == "disagrees"
        last = report.layers[-1].run
        assert last is not None
        assert last.output is None
        assert last.detail == "not run: JAX does not run 'relu2'"

    def test_shared_weights_count_once(self) -> None:
        conv = Conv(filters=3, kernel=3, pad=1)
        report = check(conv, conv)
        assert report.run.status == "agrees"
        assert [row.run.params for row in report.layers if row.run] == [84, 0]

    def test_shared_weights_must_have_the_same_shapes(self) -> None:
        conv = Conv(filters=4, kernel=3, pad=1)
        report = Network("8x8x3", [conv, conv]).derive()
        assert codes(run(report, DEFAULT)) == []  # S003 has said it
        unsaid = run(report._replace(diagnostics=()), DEFAULT)
        assert only(unsaid, "R002") == (
            "'conv2' cannot use the weights of 'conv1': the shapes differ"
        )


class TestMisfits:
    def test_rows_that_are_never_read(self) -> None:
        report = spec("input: 7x7x1\nlayers:\n- conv: {filters: 1, kernel: 3, stride: 3}\n- relu\n")
        assert codes(report) == ["R008"]
        assert "row 7 and column 7 (counted from 1)" in only(report, "R008")
        assert report.run.status == "agrees"
        assert "conv1 did not fit" in report.run.detail
        assert report.layers[0].run is not None
        assert report.layers[0].run.output == (2, 2, 1)

    def test_a_kernel_larger_than_the_input(self) -> None:
        report = spec("input: 3x3x1\nlayers:\n- conv: {filters: 1, kernel: 5}\n- dense: 4\n")
        assert codes(report) == []
        assert report.run.status == "failed"
        assert report.layers[0].run is not None
        assert report.layers[0].run.output == (0, 0, 1)
        assert not report.layers[0].run.agrees
        assert report.run.detail == (
            "ran 0 of 2 layers, 0 parameters on cpu: it stops at 'conv1': "
            "it does not fit: JAX gives 0x0x1, not 1x1x1"
        )
        assert report.layers[1].run is not None
        assert report.layers[1].run.detail == "not run: JAX gives an empty volume at 'conv1'"

    def test_a_known_misfit_that_jax_refuses_is_a_note(self) -> None:
        text = "input: 8x8x4\nlayers:\n- conv: {filters: 4, kernel: 3, groups: 3}\n- relu\n"
        report = spec(text)
        assert "must divide" in only(report, "R009")
        assert [d.severity for d in report.diagnostics if d.code == "R009"] == ["note"]

    @pytest.mark.parametrize("op", ["conv", "maxpool", "avgpool"])
    @pytest.mark.parametrize(
        ("volume", "fields"),
        [
            ("7x9x2", {"kernel": 3, "stride": 3}),
            ("8x7x2", {"kernel": 2, "stride": 3}),
            ("9x10x2", {"kernel": 3, "stride": 4, "pad": 1}),
            ("12x11x1", {"kernel": 2, "stride": 5, "dilation": 2}),
            ("13x4", {"kernel": 2, "stride": 3}),
            ("5x6x7x1", {"kernel": 2, "stride": 3}),
        ],
    )
    def test_the_probe_finds_what_no_window_covers(
        self, op: str, volume: str, fields: dict[str, Any]
    ) -> None:
        extra = {"filters": 3} if op == "conv" else {}
        if op == "avgpool":
            fields = {k: v for k, v in fields.items() if k != "dilation"}
        row = Network(volume, [REGISTRY[op](**fields, **extra)]).derive().layers[0]
        for axis, n in enumerate(row.input[0][:-1]):
            k, s = fields["kernel"], fields["stride"]
            d, p = fields.get("dilation", 1), fields.get("pad", 0)
            assert isinstance(n, int)
            starts = range(-p, n + p - d * (k - 1), s)
            read = {start + d * j for start in starts for j in range(k)}
            assert never_read(row, axis) == [i + 1 for i in range(n) if i not in read]


class TestMemory:
    def test_the_figure(self) -> None:
        report = Network("4x4x1", [Conv(filters=2, kernel=1), ReLU()]).derive()
        values = 4 + 32 + 32  # weights, the convolution's volume, ReLU's
        assert memory.needed_bytes(at(report, {})) == 4 * values
        assert memory.needed_bytes(at(report, {}), batch=3) == 4 * (4 + 3 * 64)

    def test_a_volume_lives_until_its_last_reader(self) -> None:
        text = "input: 4x4x1\nlayers:\n- add: [[relu, relu, relu], []]\n"
        report = cnncalc.load(text).derive()
        assert memory.needed_bytes(at(report, {})) == 4 * 3 * 16

    def test_refusal_before_anything_is_allocated(self) -> None:
        huge = "input: 100000x100000x3\nlayers:\n- conv: {filters: 1000, kernel: 3, pad: 1}\n"
        report = spec(huge, RunOptions(batch=2))
        message = only(report, "R004")
        assert "80,240,000,112,000 bytes" in message
        assert "are free on cpu" in message
        assert report.status() == 2
        assert report.run.status == "failed"
        help_ = report.diagnostics[-1].help
        assert any("--run-only-shapes" in line for line in help_)
        assert any("batch" in line for line in help_)

    def test_both_figures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "free_bytes", lambda device: 3 << 20)
        message = only(check(Dense(units=10000)), "R004")
        assert message.startswith("the run needs 7.4 MiB (7,760,768 bytes), but 3.0 MiB are free")

    def test_running_out_all_the_same(self) -> None:
        class Greedy(ReLU):
            def reference(self, run: Any, *xs: Any) -> Any:
                raise MemoryError

        report = check(Greedy())
        assert "ran out of memory at 'relu1'" in only(report, "R004")
        assert report.status() == 2

    def test_control_groups_limit_it(self, tmp_path: Path) -> None:
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        (inner / "memory.max").write_text("max\n")
        (inner / "memory.current").write_text("10\n")
        outer = tmp_path / "a"
        (outer / "memory.max").write_text("5000\n")
        (outer / "memory.current").write_text("3000\n")
        (outer / "memory.stat").write_text("anon 9\ninactive_file 500\n")
        names = ("memory.max", "memory.current", "inactive_file")
        assert memory._group_free(tmp_path, "/a/b", names) == [2500]

    def test_free_memory_of_this_machine(self) -> None:
        free = memory.free_bytes(devices.open_device("cpu"))
        assert free is None or free > 0


class TestDevices:
    def test_an_absent_one(self) -> None:
        report = check(ReLU(), options=RunOptions(device="tpu"))
        assert "no tpu is present; JAX finds cpu" in only(report, "R005")
        assert report.status() == 2
        assert report.run.status == "failed"
        assert report.layers[0].output == (8, 8, 3)

    def test_an_unknown_one(self) -> None:
        report = check(ReLU(), options=RunOptions(device="abacus"))
        assert "no abacus is present" in only(report, "R005")
        assert "devices are cpu, gpu and tpu" in report.diagnostics[-1].help

    def test_the_cpu_by_name(self) -> None:
        assert check(ReLU(), options=RunOptions(device="cpu")).run.platform == "cpu"

    def test_without_jax(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jax", None)
        report = check(ReLU())
        assert "JAX cannot be imported" in only(report, "R007")
        assert report.status() == 2
        assert report.run.platform is None

    def test_nothing_is_printed_and_platforms_are_respected(self) -> None:
        code = (
            "import cnncalc\n"
            "from cnncalc.jaxrun import RunOptions, run\n"
            "report = run(cnncalc.load('lenet5').derive(), RunOptions())\n"
            "print(report.run.status, [d.code for d in report.diagnostics])\n"
        )
        env = {**os.environ, "JAX_PLATFORMS": "tpu"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
        )
        assert done.stdout == "failed ['R005']\n"
        assert done.stderr == ""

    def test_no_setting_is_left_behind(self) -> None:
        names = devices.LOGGERS
        before = [logging.getLogger(name).level for name in names], dict(os.environ)
        check(ReLU())
        assert ([logging.getLogger(name).level for name in names], dict(os.environ)) == before


class TestParameters:
    def test_the_same_seed_gives_the_same_numbers(self) -> None:
        import numpy as np

        def arrays(seed: int) -> Any:
            net = at(Network("8x8x3", [Conv(filters=4, kernel=3), Dense(units=5)]).derive(), {})
            device = devices.open_device("cpu")
            setting = Setting(device, 1, seed, frozenset(), {}, {})
            forward(net, setting, lambda name: None)
            held = ((name, key, v) for name, a in setting.arrays.items() for key, v in a.items())
            return {f"{name}/{key}": np.asarray(value) for name, key, value in held}

        first, again, other = arrays(7), arrays(7), arrays(8)
        assert set(first) == {"conv1/kernel", "conv1/bias", "dense1/kernel", "dense1/bias"}
        assert all(np.array_equal(first[k], again[k]) for k in first)
        assert not any(np.array_equal(first[k], other[k]) for k in first)

    def test_any_seed_will_do(self) -> None:
        for seed in (-1, 1 << 80):
            assert check(Dense(units=2), options=RunOptions(seed=seed)).run.status == "agrees"

    def test_statistics_and_gains(self) -> None:
        norm = REGISTRY["batchnorm"]()
        row = Network("4x4x3", [norm]).derive().layers[0]
        made = make_arrays(trace(norm, row.dialect, [(1, 4, 4, 3)]), "n", 0)
        assert (made["gamma"] == 1).all()
        assert abs(made["beta"]).max() < 0.1
        buffers = sorted(float(made[name].mean()) for name in row.buffer_shapes)
        assert buffers == [0.0, 1.0]

    @pytest.mark.parametrize("residual", [False, True])
    def test_deep_networks_stay_finite(self, residual: bool) -> None:
        pair = "[{conv: {filters: 4, kernel: 3, pad: 1}}, relu]"
        block = f"add: [{pair}, []]" if residual else f"repeat: {{times: 1, layers: {pair}}}"
        text = f"input: 6x6x4\nlayers:\n- repeat: {{times: 150, layers: [{{{block}}}]}}\n"
        report = spec(text)
        assert report.run.status == "agrees"
        assert len(report.layers) >= 300

    def test_pools_and_vgg_in_shapes_alone(self) -> None:
        report = spec("vgg16", RunOptions(only_shapes=True))
        assert report.run.status == "agrees"
        assert "138,357,544 parameters" in report.run.detail
        assert any(isinstance(row.layer, MaxPool) for row in report.layers)
