"""What the engine says where it cannot go on: the primitive, the shapes, the user's line."""

import numpy as np
import pytest

from cnncalc import autograd as ag

x23, x5 = np.ones((2, 3)), np.ones(5)
picture, kernel = np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 4))

SHAPES = {
    "add": (lambda x: x + x5, ["add: shapes (2, 3) and (5,)", "x + x5"]),
    "subtract": (lambda x: x5 - x, ["subtract: shapes (5,) and (2, 3)", "x5 - x"]),
    "matmul": (lambda x: x @ x5, ["matmul: shapes (2, 3) and (5,)", "x @ x5"]),
    "maximum": (lambda x: ag.maximum(x, x5), ["maximum: shapes (2, 3) and (5,)"]),
    "where": (lambda x: ag.where(x > 0, x, x5), ["where: shapes (2, 3) and (5,)"]),
    "compare": (lambda x: x > x5, ["greater: shapes (2, 3) and (5,)"]),
    "reshape": (lambda x: x.reshape(4, 2), ["reshape: (2, 3), (4, 2)", "x.reshape(4, 2)"]),
    "transpose": (lambda x: ag.transpose(x, (0, 2)), ["transpose: (2, 3), (0, 2)"]),
    "broadcast_to": (lambda x: ag.broadcast_to(x, (2, 4)), ["broadcast_to: (2, 3), (2, 4)"]),
    "concatenate": (lambda x: ag.concatenate(x, x5), ["concatenate: shapes (2, 3) and (5,)"]),
    "index": (lambda x: x[7], ["getitem: (2, 3), 7", "out of bounds"]),
    "einsum fits": (lambda x: ag.einsum("ijk->i", x), ["'ijk->i' does not fit the shapes (2, 3)"]),
    "einsum": (lambda x: ag.einsum("ij,jk->ik", x, x), ["einsum: shapes (2, 3) and (2, 3)"]),
    "einsum form": (lambda x: ag.einsum("ij", x), ["einsum needs the form 'ij,jk->ik', not 'ij'"]),
    "einsum twice": (lambda x: ag.einsum("ii->i", x), ["a letter twice in one factor"]),
    "conv channels": (lambda x: ag.conv(picture, kernel[:, :, :1] * x[0, 0]),
                      ["conv: shapes (1, 4, 4, 2) and (3, 3, 1, 4)", "2 channels, w reads 1"]),
    "conv groups": (lambda x: ag.conv(picture, kernel[:, :, :1, :3], groups=2),
                    ["2 groups do not divide 3 filters"]),
    "conv rank": (lambda x: ag.conv(x, kernel), ["x needs (N, *spatial, C)"]),
    "conv size": (lambda x: ag.conv(picture, np.ones((5, 1, 2, 1))),
                  ["kernel is larger than the padded input"]),
    "conv stride": (lambda x: ag.conv(picture, kernel, stride=(1, 2, 3)),
                    ["3 values for 2 spatial axes"]),
    "transposed": (lambda x: ag.conv_transpose(picture, kernel, groups=3),
                   ["conv_transpose: shapes (1, 4, 4, 2) and (3, 3, 2, 4)"]),
    "batch_norm": (lambda x: ag.batch_norm(x, x5), ["batch_norm: shapes (2, 3), (5,)"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_agree(name):
    f, parts = SHAPES[name]
    with pytest.raises(ag.AutogradError) as caught:
        ag.grad(lambda x: ag.sum(f(x)))(x23)
    for part in [*parts, "(test_autograd_errors.py:"]:
        assert part in str(caught.value)


def test_shapes_that_do_not_agree_on_jax():
    import jax.numpy as jnp

    with pytest.raises(ag.AutogradError, match=r"add: shapes \(2, 3\) and \(5,\)"):
        ag.grad(lambda x: ag.sum(x + jnp.ones(5)))(jnp.ones((2, 3)))


def test_the_users_line_is_named():
    def loss(x):
        y = ag.exp(x)
        return ag.sum(y @ x5)  # here

    with pytest.raises(ag.AutogradError) as caught:
        ag.grad(loss)(x23)
    line = loss.__code__.co_firstlineno + 2
    assert f"(test_autograd_errors.py:{line}: return ag.sum(y @ x5)  # here)" in str(caught.value)


def raised(f, x=x23):
    with pytest.raises(ag.AutogradError) as caught:
        ag.grad(f)(x)
    return str(caught.value)


def test_assignment_is_refused_with_the_way_to_do_it():
    def f(x):
        x[0] = 1.0
        return ag.sum(x)

    message = raised(f)
    assert "would lose its gradient" in message
    assert "ag.where(mask, new, x)" in message
    assert "x[0] = 1.0" in message

    def add_into(x):
        total = np.zeros(3)
        total += x[0]
        return ag.sum(total)

    message = raised(add_into)
    assert "x = x + y instead of x += y" in message
    assert "total += x[0]" in message

    def store(x):
        total = np.zeros(3)
        total[0] = x[0, 0]
        return ag.sum(total)

    with pytest.raises(ValueError, match="array element") as caught:  # numpy's, ours its cause
        ag.grad(store)(x23)
    assert "would lose its gradient" in str(caught.value.__cause__)


def test_a_loss_that_is_no_scalar():
    message = raised(lambda x: x * 2)
    assert "scalar loss, this one has shape (2, 3): take ag.sum or ag.mean" in message
    assert "the function gives a tuple" in raised(lambda x: (ag.sum(x), 1))
    assert "the function gives a NoneType" in raised(lambda x: None)


def test_arguments_without_a_gradient():
    with pytest.raises(ag.AutogradError, match=r"give floats such as 3.0, not 3"):
        ag.grad(lambda x: x * x)(3)
    with pytest.raises(ag.AutogradError, match="argument 1 holds no real numbers"):
        ag.grad(lambda x, y: x, argnums=(0, 1))(3.0, np.arange(2))
    with pytest.raises(ag.AutogradError, match=r"argnums 2 with 1 arguments"):
        ag.grad(lambda x: x, argnums=2)(3.0)


def test_cotangents_of_another_form():
    _, pull = ag.vjp(lambda x: {"y": x * x}, x5)
    with pytest.raises(ag.AutogradError, match="not built like the output"):
        pull(x5)
    with pytest.raises(ag.AutogradError, match=r"has shape \(2,\), the output \(5,\)"):
        pull({"y": np.ones(2)})


NUMPY = {
    "np.exp": (lambda x: np.exp(x), "np.exp cannot differentiate a traced value: use ag.exp"),
    "np.abs": (lambda x: np.abs(x), "use ag.abs"),
    "np.maximum": (lambda x: np.maximum(x, 0), "use ag.maximum"),
    "np.sin": (lambda x: np.sin(x), "np.sin cannot"),
    "np.add.reduce": (lambda x: np.add.reduce(x), "np.add.reduce cannot"),
    "np.sum": (lambda x: np.sum(x), "np.sum cannot differentiate a traced value: use ag.sum"),
    "np.max": (lambda x: np.max(x), "use ag.max"),
    "np.mean": (lambda x: np.mean(x, axis=0), "use ag.mean"),
    "np.concatenate": (lambda x: np.concatenate([x, x]), "use ag.concatenate"),
    "np.where": (lambda x: np.where(x23 > 0, x, 0), "use ag.where"),
    "np.einsum": (lambda x: np.einsum("ij->i", x), "use ag.einsum"),
    "np.asarray": (lambda x: np.asarray(x), "use ag.stop_gradient(x)"),
    "np.array": (lambda x: np.array([x[0, 0], x[0, 1]]), "use ag.stop_gradient(x)"),
    "float": (lambda x: float(x[0, 0]), "would lose its gradient"),
    "int": (lambda x: int(x[0, 0]), "would lose its gradient"),
    "item": (lambda x: x[0, 0].item(), "would lose its gradient"),
    "math": (lambda x: __import__("math").exp(x[0, 0]), "would lose its gradient"),
}


@pytest.mark.parametrize("name", NUMPY)
def test_functions_that_are_not_ours(name):
    f, message = NUMPY[name]
    assert message in raised(lambda x: f(x))


def test_truth_of_several_values():
    with pytest.raises(ValueError, match="ambiguous"):
        ag.grad(lambda x: x if x else -x)(x23)


def test_a_wrong_custom_pull_back():
    def wrong(forward, backward):
        f = ag.custom_vjp(lambda x: ag.sum(x))
        f.defvjp(forward, backward)
        return raised(f)

    assert "forward gives (output, saved)" in wrong(lambda x: ag.sum(x), lambda s, g: (g,))
    keep = lambda x: (ag.sum(x), None)  # noqa: E731
    assert "one cotangent an argument, 1 in a tuple" in wrong(keep, lambda s, g: g)
    assert "cotangent 0 has shape (), its argument (2, 3)" in wrong(keep, lambda s, g: (g,))


def test_a_primitive_without_a_pull_back():
    @ag.primitive
    def odd(x, n):
        return x * n

    odd.defvjp(lambda ans, x, n: lambda g: g * n, None)
    assert ag.grad(odd)(2.0, 3.0) == 3
    with pytest.raises(ag.AutogradError, match="odd has no gradient for that argument"):
        ag.grad(odd, argnums=1)(2.0, 3.0)


# --- NaN and infinity -------------------------------------------------------------------------


def test_debug_nans_in_the_forward():
    def f(x):
        y = x - 1.0
        z = ag.log(y)  # the first
        return ag.sum(z * 0.0)

    with ag.debug_nans(), pytest.raises(ag.AutogradError) as caught:
        ag.grad(f)(x5)
    assert "log made an infinity, shape (5,)" in str(caught.value)
    assert "z = ag.log(y)  # the first" in str(caught.value)
    with ag.debug_nans(), pytest.raises(ag.AutogradError, match="divide made a NaN"):
        ag.divide(np.zeros(2), np.zeros(2))


def test_debug_nans_in_the_gradient():
    """sqrt is finite at 0, its slope is not: told with the line of the forward call."""

    def f(x):
        y = x * x
        r = ag.sqrt(y)  # its slope
        return ag.sum(r)

    x = np.array([0.0, 1.0])
    with np.errstate(all="ignore"):
        assert np.isnan(ag.grad(f)(x)[0])
    with ag.debug_nans(), pytest.raises(ag.AutogradError) as caught:
        ag.grad(f)(x)
    assert "the gradient of sqrt made an infinity, shape (2,)" in str(caught.value)
    assert "r = ag.sqrt(y)  # its slope" in str(caught.value)
    with ag.debug_nans():  # what is finite passes
        assert ag.grad(f)(x + 1.0)[0] == 1


def test_debug_nans_on_jax_and_in_its_jit():
    import jax
    import jax.numpy as jnp

    with ag.debug_nans():
        with pytest.raises(ag.AutogradError, match="log made an infinity"):
            ag.grad(lambda x: ag.sum(ag.log(x)))(jnp.zeros(2))
        found = jax.jit(ag.grad(lambda x: ag.sum(ag.sqrt(x))))(jnp.zeros(2))
        assert jnp.isinf(found).all()
    assert jnp.isinf(ag.log(jnp.zeros(2))).all()


def test_debug_nans_leaves_integers_and_symbols():
    with ag.debug_nans():
        assert ag.add(np.arange(2), 1).tolist() == [1, 2]
        assert ag.formula(ag.log(ag.symbols("x", ()))) == "log(x)"
