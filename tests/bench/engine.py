"""Whole training steps on NumPy: this engine beside PyTorch, JAX, HIPS autograd and MyGrad.

    python tests/bench/engine.py [lenet5 alexnet resnet18 vgg16] [--batch 8] [--rounds 5]
        [--profile] [--threads N] [--without jax torch ...]

A step is the forward pass in training mode, the cross entropy and the gradients of every
parameter, float32. Ours runs the layers' `forward` on NumPy arrays; PyTorch runs eagerly on
the same number of threads, channels first as is its custom; `jax.grad` is compiled. HIPS
autograd and MyGrad take LeNet-5, where they are installed (`pip install autograd mygrad`):
their convolutions are too slow, or need too much memory, for the rest.

All take turns in one process, so that they meet the same noise; a ratio is the median of
the rounds' ratios. Beside the wall time stands the processors' time, of all threads: on a
machine that others use too, compare that of `--threads 1` (OpenMP's threads spin while they
wait, which counts). The machine's peak is that of a product of 2048x2048 matrices, measured
in every round too; the share is the step's multiplications and additions (3 products a
convolution, counted as by the definition, so that Winograd's can pass 100%) over time and peak.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from engine_jax import Setup, _processor, compiled, of_jax, of_torch, ours, seconds
from threadpoolctl import threadpool_limits

AIMS = {"lenet5": 1.0, "alexnet": 0.85, "resnet18": 1.0, "vgg16": 0.65}  # of PyTorch's time
Step = Callable[[], Any]


# --- the peers --------------------------------------------------------------------------------


def steps_of(setup: Setup, name: str, without: list[str]) -> dict[str, Step]:
    """What takes part, by name."""
    gradient = ours(setup)
    found: dict[str, Step] = {"ours": lambda: gradient(setup.params, setup.x, setup.labels)}
    makers: dict[str, Callable[[Setup], Step]] = {"torch": of_torch, "jax": _jax}
    if name == "vgg16":
        found["F(4,3)"] = _winograd4(found["ours"])
    if name == "lenet5":
        makers |= {"hips": of_hips, "mygrad": of_mygrad}
    for label, make in makers.items():
        if label not in without:
            try:
                found[label] = make(setup)
            except ImportError:
                print(f"{label} is not installed")
    return found


def _jax(setup: Setup) -> Step:
    import jax

    return compiled(of_jax(setup), jax.device_put((setup.params, setup.x, setup.labels)))[0]


def _winograd4(step: Step) -> Step:
    from cnncalc.autograd import fastconv

    def wide() -> Any:
        with fastconv.using(4):
            return step()

    return wide


def _lenet(setup: Setup, np: Any, conv: Any, p: Any) -> Any:
    """LeNet-5's logits on another library's numpy; `conv` takes (x, kernel), maps first."""
    x = setup.x.transpose(0, 3, 1, 2)
    for name in ("C1", "C3", "C5"):
        y = np.tanh(conv(x, p[name]["kernel"]) + p[name]["bias"].reshape((1, -1, 1, 1)))
        if name == "C5":
            break
        n, c, h, w = y.shape
        sums = np.sum(y.reshape((n, c, h // 2, 2, w // 2, 2)), axis=(3, 5))
        after = p["S2" if name == "C1" else "S4"]
        scaled = sums * after["coefficient"].reshape((1, -1, 1, 1))
        x = 1 / (1 + np.exp(-(scaled + after["bias"].reshape((1, -1, 1, 1)))))
    y = np.tanh(np.matmul(y.reshape((len(y), -1)), p["F6"]["kernel"]) + p["F6"]["bias"])
    return np.matmul(y, p["OUTPUT"]["kernel"])


def _whole(setup: Setup) -> Any:
    """LeNet-5's parameters, kernels (filters, maps, 5, 5); C3 reads all maps."""
    p = {name: dict(arrays) for name, arrays in setup.params.items()}
    rng = np.random.default_rng(0)
    p["C3"]["kernel"] = rng.standard_normal((5, 5, 6, 16), dtype=np.float32) / 12
    for name in ("C1", "C3", "C5"):
        p[name]["kernel"] = np.ascontiguousarray(p[name]["kernel"].transpose(3, 2, 0, 1))
    return p


def of_hips(setup: Setup) -> Step:
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.signal import convolve

    def conv(x: Any, w: Any) -> Any:
        kernel = anp.transpose(w, (1, 0, 2, 3))[:, :, ::-1, ::-1]
        return convolve(x, kernel, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid")

    def loss(p: Any) -> Any:
        logits = _lenet(setup, anp, conv, p)
        shares = logits - anp.log(anp.sum(anp.exp(logits), axis=1, keepdims=True))
        return -anp.mean(shares[np.arange(len(shares)), setup.labels])

    step, p = autograd.value_and_grad(loss), _whole(setup)
    return lambda: step(p)


def of_mygrad(setup: Setup) -> Step:
    import mygrad
    from mygrad.nnet.layers import conv_nd
    from mygrad.nnet.losses import softmax_crossentropy

    arrays = _whole(setup)

    def step() -> Any:
        p = {n: {k: mygrad.tensor(v) for k, v in a.items()} for n, a in arrays.items()}
        logits = _lenet(setup, mygrad, lambda x, w: conv_nd(x, w, stride=1), p)
        loss = softmax_crossentropy(logits, setup.labels)
        loss.backward()
        return loss, [v.grad for a in p.values() for v in a.values()]

    return step


# --- measuring ----------------------------------------------------------------------------------


def peak() -> float:
    """GFLOP/s of a product of two matrices of 2048 rows and columns."""
    a, b = np.ones((2, 2048, 2048), np.float32)
    out = np.empty_like(a)
    return float(
        2 * 2048**3 / min(seconds(lambda: np.matmul(a, b, out=out))[0] for _ in range(3)) / 1e9
    )


def measure(name: str, batch: int, rounds: int, without: list[str], profiled: bool) -> None:
    setup = Setup(name, batch)
    steps = steps_of(setup, name, without)
    for step in steps.values():
        step()
    repeat = max(1, int(0.05 / max(seconds(steps["ours"])[0], 1e-6)))  # small: many steps a round
    found: dict[str, list[tuple[float, float]]] = {label: [] for label in steps}
    peaks = []
    for _ in range(rounds):
        peaks.append(peak())
        for label, step in steps.items():
            time.sleep(0.1)  # threads that wait in a loop for more work of the last go to sleep
            times = [seconds(step) for _ in range(repeat)]
            found[label].append(tuple(map(statistics.median, zip(*times, strict=True))))
    best, top = statistics.median(t for t, _ in found["ours"]), statistics.median(peaks)
    work = sum(int(row.macs) for row in setup.report.layers) * 2 * 3 * batch
    print(f"\n{name}: {work / 1e9:.2f} GFLOP a step, {100 * work / best / 1e9 / top:.0f}% of the "
          f"peak {top:.0f} GFLOP/s; aim {AIMS.get(name, 1.0):.2f} of PyTorch")  # fmt: skip
    for label, times in found.items():
        line = f"  {label:8}"
        for i, what in enumerate(("ms", "ms of processors")):
            pairs = zip(found["ours"], times, strict=True)
            ratio = statistics.median(a[i] / b[i] for a, b in pairs)
            middle = statistics.median(t[i] for t in times)
            line += f"{1e3 * middle:10.2f} {what}, ours/{label} {ratio:.2f} "
        print(line, flush=True)
    if profiled:
        profile(steps["ours"])


def profile(step: Step) -> None:
    """Prints the processors' time inside each primitive, in one step, and what is left."""
    from cnncalc.autograd.tape import Primitive

    spent: dict[str, list[float]] = {}
    compute = Primitive._compute

    def timed(self: Any, args: Any, kw: Any) -> Any:
        start = time.process_time()
        try:
            return compute(self, args, kw)
        finally:
            spent.setdefault(self.name, []).append(time.process_time() - start)

    Primitive._compute = timed  # type: ignore[method-assign]
    try:
        start = time.process_time()
        step()
        whole = time.process_time() - start
    finally:
        Primitive._compute = compute  # type: ignore[method-assign]
    ranked = sorted(((sum(times), len(times), name) for name, times in spent.items()), reverse=True)
    for total, count, name in [*ranked[:10], (whole - sum(r[0] for r in ranked), 0, "the rest")]:
        print(f"    {name:24}{total * 1e3:10.2f} ms {100 * total / whole:5.1f}% {count:5d} calls")


def main() -> None:
    parser = argparse.ArgumentParser(description="Training steps on NumPy, and its peers'.")
    parser.add_argument("networks", nargs="*", default=list(AIMS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of NumPy and PyTorch, not of JAX")
    parser.add_argument("--profile", action="store_true", help="time by primitive")
    parser.add_argument("--without", nargs="*", default=[], help="torch jax hips mygrad")
    given = parser.parse_args()
    threads = given.threads or len(os.sched_getaffinity(0))
    os.environ["CNNCALC_THREADS"] = str(threads)
    if "torch" not in given.without:
        import torch

        torch.set_num_threads(threads)
    print(f"{platform.python_implementation()} {platform.python_version()}, numpy "
          f"{np.__version__}, {_processor()}, {threads} threads, batch {given.batch}, "
          f"{given.rounds} rounds")  # fmt: skip
    with threadpool_limits(threads, user_api="blas"):
        for name in given.networks:
            measure(name, given.batch, given.rounds, given.without, given.profile)


if __name__ == "__main__":
    main()
