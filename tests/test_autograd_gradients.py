"""Every gradient of the engine beside finite differences, lax, torch and SymPy.

Each comparison runs over the table of `autograd_cases`, and over shapes that Hypothesis
draws in `test_autograd_shapes`. That a comparison can fail is tested with it: with the
sign of one primitive's pull-back turned, it does, for every row.
"""

import contextlib
import importlib
import pkgutil
from functools import cache

import numpy as np
import pytest
from autograd_cases import CASES, Case

import cnncalc.autograd
from cnncalc import autograd as ag
from cnncalc.autograd.tape import Primitive

BY_NAME = {case.name: case for case in CASES}
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

# Second derivatives: one row a primitive, and the windows' ways to be uneven.
SECOND = [
    "add broadcast", "subtract", "multiply fan-out", "divide broadcast", "power", "power scalar",
    "maximum", "minimum", "negative", "exp", "tanh", "sigmoid", "erf", "log", "sqrt", "abs",
    "relu", "power of a number", "power of zero", "where", "astype", "sum (0, 2)", "mean 1",
    "max -1 keepdims", "max (0, 2)", "log_softmax -1", "logsumexp 0", "softmax 0", "reshape",
    "transpose", "pad negative", "concatenate", "stack", "slice",
    "gather with repeats", "scatter", "matmul (2, 3) (3, 4)", "matmul (2, 3) (2, 3, 2)",
    "matmul (3,) (3,)", "einsum ij,jk->ik", "einsum ij,k->i", "conv asymmetric pad",
    "conv grouped dilated strided padded", "conv 1d", "conv_transpose grouped",
    "conv_transpose dilated", "conv_kernel", "max_pool overlapping", "max_pool ceil",
    "avg_pool asymmetric", "avg_pool ceil pad not counted", "batch_norm",
]  # fmt: skip


def primitives() -> dict[str, list[Primitive]]:
    """All primitives of the engine's modules, by name."""
    found: dict[str, list[Primitive]] = {}
    for info in pkgutil.iter_modules(cnncalc.autograd.__path__):
        module = importlib.import_module(f"cnncalc.autograd.{info.name}")
        for thing in vars(module).values():
            if isinstance(thing, Primitive) and thing not in found.setdefault(thing.name, []):
                found[thing.name].append(thing)
    return found


@contextlib.contextmanager
def sign_turned(name: str):
    """Within it the pull-backs of the primitive give the negative of what they should."""

    def turned(maker):
        def made(*args, **kw):
            pull = maker(*args, **kw)

            def back(g):
                found = pull(g)
                return [-p for p in found] if isinstance(found, list) else -found

            return back

        return made

    kept = [(p, p.makers, p.joint) for p in primitives()[name]]
    for p, makers, joint in kept:
        p.makers = tuple(None if m is None else turned(m) for m in makers)
        p.joint = None if joint is None else turned(joint)
    try:
        yield
    finally:
        for p, makers, joint in kept:
            p.makers, p.joint = makers, joint


def cotangent(case: Case) -> np.ndarray:
    y = case.ours(*case.arguments())
    return np.random.default_rng(1).uniform(0.5, 1.5, np.shape(y))


def error(ours, theirs) -> float:
    """The largest difference of gradients, beside the largest entry of all."""
    size = max([1e-3, *(float(np.abs(t).max()) for t in theirs)])
    gaps = []
    for o, t in zip(ours, theirs, strict=True):
        assert np.shape(o) == np.shape(t)
        gaps.append(float(np.abs(np.asarray(o) - np.asarray(t)).max()) / size)
    return max(gaps)


# --- what each side says ------------------------------------------------------------------


def ours_on_numpy(case: Case) -> list[np.ndarray]:
    _, pull = ag.vjp(case.ours, *case.arguments())
    return list(pull(cotangent(case)))


@cache
def by_differences(name: str) -> list[np.ndarray]:
    """(L(x + h) - L(x - h)) / 2h for every entry, L the sum of outputs times cotangents."""
    case = BY_NAME[name]
    args, u, h = case.arguments(), cotangent(case), 1e-5

    def loss() -> float:
        return float(np.sum(u * case.ours(*args)))

    found = []
    for x in args:
        slopes = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            middle = x[index]
            x[index] = middle + h
            above = loss()
            x[index] = middle - h
            slopes[index] = (above - loss()) / (2 * h)
            x[index] = middle
        found.append(slopes)
    return found


def first_and_second(vjp, hessian, ns, function, case: Case):
    """Of a function by one library: gradients, and the hessian of sum(u y) sum(c x)."""

    def gradients(u, *args):
        value, pull = vjp(function, *args)
        return value, pull(u)

    def loss(u, c, parts):
        x = sum(ns.sum(p * q) for p, q in zip(c, parts, strict=True))
        return ns.sum(u * function(*parts)) * x

    return gradients, lambda u, c, args: hessian(lambda parts: loss(u, c, parts))(args)


def slopes(case: Case) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.uniform(0.5, 1.5, s) for s in case.shapes]


@cache
def jax_says(group: int) -> dict[str, dict[str, object]]:
    """What jax finds for the rows of a group, and what our tape finds on its arrays."""
    import jax
    import jax.numpy as jnp

    cases = CASES[8 * group : 8 * group + 8]

    def everything(given):
        found = {}
        for case in cases:
            u, c, args = given[case.name]
            theirs = first_and_second(jax.vjp, jax.hessian, jnp, case.jax, case)
            ours = first_and_second(ag.vjp, ag.hessian, ag, case.ours, case)
            found[case.name] = {"theirs": theirs[0](u, *args), "ours": ours[0](u, *args)}
            if case.name in SECOND:
                found[case.name]["second"] = theirs[1](u, c, args)
        return found

    with jax.enable_x64(True):
        given = {k.name: (cotangent(k), slopes(k), k.arguments()) for k in cases}
        found = jax.jit(everything, compiler_options=QUICK)(given)
        return jax.tree.map(np.asarray, found)


def of_jax(name: str) -> dict[str, object]:
    return jax_says(CASES.index(BY_NAME[name]) // 8)[name]


def by_jax(name: str) -> list[np.ndarray]:
    return list(of_jax(name)["theirs"][1])


@cache
def by_torch(name: str) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    case = BY_NAME[name]
    args = [torch.tensor(x, requires_grad=True) for x in case.arguments()]
    y = case.torch(*args)
    grads = torch.autograd.grad(y, args, torch.tensor(cotangent(case)))
    return [g.numpy() for g in grads]


REFERENCES = {"differences": (by_differences, 1e-6), "jax": (by_jax, 1e-10),
              "torch": (by_torch, 1e-10)}  # fmt: skip
ROWS = [
    pytest.param(reference, case, id=f"{reference}-{case.name}")
    for reference in REFERENCES
    for case in CASES
    if reference != "torch" or case.torch is not None
]


# --- the comparisons ------------------------------------------------------------------------


@pytest.mark.parametrize(("reference", "case"), ROWS)
def test_gradient(reference, case):
    says, tolerance = REFERENCES[reference]
    theirs = says(case.name)
    found = ours_on_numpy(case)
    assert error(found, theirs) < tolerance
    assert {g.dtype for g in found} == {np.dtype(np.float64)}
    for name in case.reaches:
        with sign_turned(name):
            assert error(ours_on_numpy(case), theirs) > 1e-2, f"{name} turned goes unseen"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values_and_our_tape_on_jax(case):
    """Inside jax.jit: our tape's values and gradients on JAX arrays against jax's own."""
    found = of_jax(case.name)
    (value, grads), (our_value, our_grads) = found["theirs"], found["ours"]
    np.testing.assert_allclose(our_value, value, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(case.ours(*case.arguments()), value, rtol=1e-10, atol=1e-12)
    assert error(our_grads, grads) < 1e-10


@pytest.mark.parametrize("name", ["multiply", "tanh", "matmul (2, 3) (3, 4)", "conv stride",
                                  "max_pool overlapping", "avg_pool padded"])  # fmt: skip
def test_our_tape_on_jax_is_seen_to_fail(name):
    import jax

    case = BY_NAME[name]
    with jax.enable_x64(True), sign_turned(case.reaches[0]):
        _, pull = ag.vjp(case.ours, *map(jax.numpy.asarray, case.arguments()))
        assert error(pull(jax.numpy.asarray(cotangent(case))), by_jax(name)) > 1e-2


def our_hessian(case: Case) -> list[np.ndarray]:
    _, second = first_and_second(ag.vjp, ag.hessian, ag, case.ours, case)
    return [h for row in second(cotangent(case), slopes(case), case.arguments()) for h in row]


@pytest.mark.parametrize("name", SECOND)
def test_second_order(name):
    case = BY_NAME[name]
    theirs = [h for row in of_jax(name)["second"] for h in row]
    assert error(our_hessian(case), theirs) < 1e-10
    for reached in case.reaches:
        with sign_turned(reached):
            assert error(our_hessian(case), theirs) > 1e-2


ADJOINTS = {
    "max_pool's gradient": "max_pool ceil",
    "avg_pool's gradient": "avg_pool asymmetric",
    "conv's gradient by x": "conv asymmetric pad",
    "conv's gradient by w": "conv grouped dilated strided padded",
    "scatter": "gather with repeats",
    "broadcast_to": "sum (0, 2)",
}


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_second_order_goes_through_the_adjoints(adjoint):
    name = ADJOINTS[adjoint]
    theirs = [h for row in of_jax(name)["second"] for h in row]
    with sign_turned(adjoint):
        assert error(our_hessian(BY_NAME[name]), theirs) > 1e-2


def test_every_primitive_has_a_row():
    reached = {name for case in CASES for name in case.reaches} | set(ADJOINTS)
    assert set(primitives()) - reached == set()
    second = {name for row in SECOND for name in BY_NAME[row].reaches} | set(ADJOINTS)
    assert set(primitives()) - second == set()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_precision_is_kept_on_jax(case, dtype):
    """By shapes and dtypes alone, without computing."""
    import jax

    args = [jax.ShapeDtypeStruct(s, dtype) for s in case.shapes]

    def both(*args):
        y, pull = ag.vjp(case.ours, *args)
        return y, pull(jax.numpy.ones_like(y))

    y, grads = jax.eval_shape(both, *args)
    assert {y.dtype.name, *(g.dtype.name for g in grads)} == {dtype}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_single_precision_is_kept_on_numpy(case):
    args = [x.astype(np.float32) for x in case.arguments()]
    y, pull = ag.vjp(case.ours, *args)
    grads = pull(cotangent(case).astype(np.float32))
    assert {y.dtype.name, *(g.dtype.name for g in grads)} == {"float32"}
    assert error(grads, ours_on_numpy(case)) < 1e-5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_arrays_that_are_not_contiguous(case):
    args = [np.asfortranarray(np.repeat(x[..., None], 2, -1))[..., 0] for x in case.arguments()]
    _, pull = ag.vjp(case.ours, *args)
    assert error(pull(cotangent(case)), ours_on_numpy(case)) < 1e-14
