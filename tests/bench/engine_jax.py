"""Whole training steps under `jax.jit`: this engine's tape beside `jax.grad` and PyTorch.

    python tests/bench/engine_jax.py [lenet5 alexnet resnet18 resnet50 vgg16]
        [--batch 8] [--rounds 5] [--no-torch]

A step is the forward pass in training mode, the cross entropy and the gradients of every
parameter, float32. Three programs of one network with the same numbers:

- ours: `jax.jit(ag.value_and_grad(...))` over the layers' `forward`;
- jax.grad: `jax.jit(jax.value_and_grad(...))` over their plain `lax` references (maxima by
  reduce_window, batch normalisation composed in jnp);
- PyTorch eager, on the same number of threads.

They take turns, so that all meet the same noise; compile times are told apart. Ratios are
medians of the rounds', by wall time and ("by cpu") by the processor time of all threads,
which says more on a machine that is shared. The largest relative difference of a gradient
is told too ("differ"): float32 rounding, which deep normalised networks amplify.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NETWORKS = ("lenet5", "alexnet", "resnet18", "resnet50")
AIMS = {"resnet50": 0.65}  # of ours to jax.grad; 1.05 elsewhere
Step = Callable[[], Any]


class Setup:
    """A bundled network, its parameters and one random batch."""

    def __init__(self, name: str, batch: int) -> None:
        from cnncalc import check, execute

        self.report = check(name, run=False)
        self.params, self.buffers = execute.initialise(self.report)
        rng = np.random.default_rng(0)
        ((self.input, shape),) = self.report.input_shapes.items()
        self.x = rng.standard_normal((batch, *shape), dtype=np.float32)
        self.logits = execute.logits_row(self.report)
        rows = {row.name: row for row in self.report.layers}
        self.labels = rng.integers(0, rows[self.logits].output[-1], batch)


def ours(setup: Setup) -> Callable[..., Any]:
    """The loss on the engine's primitives, differentiated by the engine."""
    from cnncalc import autograd as ag
    from cnncalc import execute

    def loss(params: Any, x: Any, labels: Any) -> Any:
        values, _ = execute.forward(
            setup.report, params, setup.buffers, {setup.input: x},
            training=True, until=setup.logits,
        )  # fmt: skip
        return execute.cross_entropy(values[setup.logits], labels)

    return ag.value_and_grad(loss)


class Reference:
    """The context of one layer's `lax` reference: batch normalisation as in training."""

    def __init__(self, row: Any, arrays: Any, x: Any) -> None:
        self.dialect, self.arrays, self.x = row.dialect, arrays, x

    def param(self, name: str, shape: Any, fan_in: Any = None) -> Any:
        return self.arrays[name]

    def buffer(self, name: str, shape: Any, value: float) -> Any:
        import jax.numpy as jnp

        over = tuple(range(self.x.ndim - 1))
        return {"mean": jnp.mean, "var": jnp.var}[name](self.x, axis=over)


def of_jax(setup: Setup) -> Callable[..., Any]:
    """The loss on plain lax and jnp, differentiated by JAX."""
    import jax
    import jax.numpy as jnp

    def loss(params: Any, x: Any, labels: Any) -> Any:
        values = {setup.input: x}
        for row in setup.report.layers:
            xs = [values[name] for name in row.inputs]
            run = Reference(row, params.get(row.shared or row.name, {}), xs[0])
            values[row.name] = row.layer.reference(run, *xs)
            if row.name == setup.logits:
                break
        shares = jax.nn.log_softmax(values[setup.logits])
        return -jnp.mean(jnp.take_along_axis(shares, labels[:, None], axis=-1))

    return jax.value_and_grad(loss)


def of_torch(setup: Setup) -> Step:
    """One eager step of the same network in PyTorch."""
    import torch

    leaves: dict[str, dict[str, torch.Tensor]] = {}
    order = {4: (3, 2, 0, 1), 3: (2, 0, 1), 2: (1, 0), 1: (0,)}  # filters first
    for name, arrays in setup.params.items():
        turned = {k: v.transpose(order[v.ndim]).copy() for k, v in arrays.items()}
        leaves[name] = {k: torch.tensor(v, requires_grad=True) for k, v in turned.items()}
    x = torch.tensor(np.ascontiguousarray(setup.x.transpose(0, 3, 1, 2)))
    labels = torch.tensor(setup.labels)

    def step() -> Any:
        values = {setup.input: x}
        for row in setup.report.layers:
            xs = [values[name] for name in row.inputs]
            values[row.name] = _torch_layer(row, leaves.get(row.shared or row.name, {}), xs)
            if row.name == setup.logits:
                break
        loss = torch.nn.functional.cross_entropy(values[setup.logits], labels)
        every = [t for arrays in leaves.values() for t in arrays.values()]
        return loss, torch.autograd.grad(loss, every)

    return step


def _torch_layer(row: Any, p: Any, xs: list[Any]) -> Any:
    import torch
    import torch.nn.functional as F  # noqa: N812

    layer, x = row.layer, xs[0]
    if row.op == "conv":
        w = p["kernel"]
        if layer.connect is not None:
            w = _whole_kernel(w, layer.connect, x.shape[1])
        ends = [(v.before, v.after) for v in row.windows]
        if any(b != a for b, a in ends):
            x = F.pad(x, [n for pair in reversed(ends) for n in pair])
            ends = [(0, 0)] * len(ends)
        fields = [v.s for v in row.windows], [b for b, _ in ends], [v.d for v in row.windows]
        return F.conv2d(x, w, p.get("bias"), *fields, layer.groups)
    if row.op == "maxpool":
        fields = [[getattr(v, n) for v in row.windows] for n in ("k", "s", "before", "d")]
        return F.max_pool2d(x, *fields, ceil_mode=layer.round == "ceil")
    if row.op == "subsample":
        area = float(np.prod([v.k for v in row.windows]))
        y = F.avg_pool2d(x, [v.k for v in row.windows]) * area
        return y * p["coefficient"][:, None, None] + p["bias"][:, None, None]
    if row.op == "batchnorm":
        affine = p.get("gamma"), p.get("beta")
        return F.batch_norm(x, None, None, *affine, training=True, eps=float(layer.eps))
    if row.op == "lrn":
        fields = [float(getattr(layer, n)) for n in ("alpha", "beta", "k")]
        return F.local_response_norm(x, layer.size, *fields)
    if row.op == "dense":
        if x.dim() == 4:  # as flattened channels last
            x = x.permute(0, 2, 3, 1)
        return F.linear(x.flatten(1), p["kernel"], p.get("bias"))
    plain = {
        "relu": F.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "dropout": lambda x: x,  # no masks are drawn
        "flatten": lambda x: x,
        "global_avgpool": lambda x: x.mean((2, 3)),
        "add": lambda x: sum(xs),
    }
    return plain[row.op](x)


def _whole_kernel(listed: Any, connect: Any, channels: int) -> Any:
    """The kernel with a zero wherever a filter does not read a map."""
    import torch

    pairs = [(f, m) for f, row in enumerate(connect) for m in row]
    rows, columns = (torch.tensor(found) for found in zip(*pairs, strict=True))
    whole = torch.zeros(len(connect), channels, *listed.shape[1:])
    return whole.index_put((rows, columns), listed)


def compiled(f: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Step, float]:
    """The jitted step on these arguments, and the seconds to trace and compile it."""
    import jax

    start = time.perf_counter()
    program = jax.jit(f).lower(*arguments).compile()
    return lambda: jax.block_until_ready(program(*arguments)), time.perf_counter() - start


def compare(ours: Any, theirs: Any) -> float:
    """The largest difference of a gradient over that array's largest entry.

    float32 through many normalisations: what is seen here is rounding, the agreement in
    float64 is tested elsewhere.
    """
    import jax

    pairs = zip(jax.tree.leaves(ours[1]), jax.tree.leaves(theirs[1]), strict=True)
    worst = 0.0
    for a, b in pairs:
        scale = max(float(np.abs(b).max()), 1e-30)
        worst = max(worst, float(np.abs(np.asarray(a) - np.asarray(b)).max()) / scale)
    return worst


def seconds(step: Step) -> tuple[float, float]:
    """Wall time of a step, and the processor time of all its threads."""
    wall, busy = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - busy


def measure(name: str, batch: int, rounds: int, torch_too: bool) -> None:
    """Prints one network's line."""
    import jax

    setup = Setup(name, batch)
    arguments = jax.device_put((setup.params, setup.x, setup.labels))
    mine, my_compile = compiled(ours(setup), arguments)
    theirs, their_compile = compiled(of_jax(setup), arguments)
    steps = {"ours": mine, "jax.grad": theirs}
    worst = compare(mine(), theirs())
    if torch_too:
        steps["PyTorch"] = of_torch(setup)
        steps["PyTorch"]()
    repeat = max(1, int(0.1 / max(seconds(mine)[0], 1e-6)))  # small networks: many steps a round
    found: dict[str, list[tuple[float, float]]] = {label: [] for label in steps}
    for _ in range(rounds):
        for label, step in steps.items():
            time.sleep(0.1)  # threads that wait in a loop for more work of the last go to sleep
            times = [seconds(step) for _ in range(repeat)]
            found[label].append(tuple(statistics.median(t) for t in zip(*times, strict=True)))

    def median(label: str) -> str:
        walls = [wall for wall, _ in found.get(label, ())]
        return f"{statistics.median(walls) * 1000:.1f}" if walls else "-"

    def ratio(other: str, clock: int) -> str:
        pairs = zip(found["ours"], found.get(other, ()), strict=False)
        ratios = [a[clock] / b[clock] for a, b in pairs]
        return f"{statistics.median(ratios):.2f}" if ratios else "-"

    entries = [name, median("ours"), median("jax.grad"), median("PyTorch"),
               ratio("jax.grad", 0), f"{AIMS.get(name, 1.05):.2f}", ratio("jax.grad", 1),
               ratio("PyTorch", 0), f"{my_compile:.1f}", f"{their_compile:.1f}",
               f"{worst:.0e}"]  # fmt: skip
    print(_line(entries), flush=True)


HEADS = ("", "ours ms", "jax ms", "torch ms", "ours/jax", "aim", "by cpu", "ours/torch",
         "compile s", "jax's", "differ")  # fmt: skip


def _line(entries: Sequence[str]) -> str:
    first, *rest = entries
    return f"{first:10}" + "".join(f"{entry:>11}" for entry in rest)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training steps: ours, jax.grad, PyTorch.")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    given = parser.parse_args()
    import jax

    threads = len(os.sched_getaffinity(0))
    torch_version = ""
    if not given.no_torch:
        import torch

        torch.set_num_threads(threads)
        torch_version = f", torch {torch.__version__}"
    print(f"{platform.python_implementation()} {platform.python_version()}, "
          f"jax {jax.__version__} on {jax.default_backend()}{torch_version}, {_processor()}, "
          f"{threads} threads, batch {given.batch}, {given.rounds} rounds")  # fmt: skip
    print(f"XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}, the same for both")
    print(_line(HEADS))
    for name in given.networks:
        measure(name, given.batch, given.rounds, not given.no_torch)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            found = [line.partition(":")[2].strip() for line in file if "model name" in line]
        return found[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
