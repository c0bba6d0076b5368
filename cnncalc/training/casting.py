"""What a step on devices adds to the tape: other precisions, and outputs gathered."""

from typing import Any

SCALE = {"float16": 1024.0}  # of the loss: small gradients would be 0 (Micikevicius et al. 2018)


def cast(x: Any, dtype: str) -> Any:
    """x in another floating type; its gradient is cast back."""
    from .. import autograd as ag

    before = str(x.dtype)
    if before == dtype:
        return x
    change = ag.custom_vjp(lambda x: x.astype(dtype))
    change.defvjp(lambda x: (x.astype(dtype), None), lambda _, g: (g.astype(before),))
    return change(x)


def join(x: Any, placer: Any) -> Any:
    """The output of a divided layer, gathered; its gradient is divided again."""
    from .. import autograd as ag

    gather = ag.custom_vjp(placer.joined)
    gather.defvjp(lambda x: (placer.joined(x), None), lambda _, g: (placer.parted(g),))
    return gather(x)


def floats(tree: Any, dtype: str) -> Any:
    """Every floating array of a tree of JAX arrays in `dtype`; whole numbers stay."""
    import jax
    import jax.numpy as jnp

    def one(x: Any) -> Any:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(one, tree)
