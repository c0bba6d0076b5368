"""The references of recurrent layers: `lax.scan` over the steps, gate by gate."""

from typing import Any


def recurrent(layer: Any, run: Any, x: Any) -> Any:
    """(N, ..., T, C) to (N, ..., T, units), or without T: the last state."""
    import jax.numpy as jnp

    ways = [("", layer.reverse)]
    if layer.bidirectional:
        ways.append(("backward_", not layer.reverse))
    found = [_one(layer, run, x, prefix, backward) for prefix, backward in ways]
    if len(found) == 1:
        return found[0]
    joined = {"sum": jnp.sum, "multiply": jnp.prod, "average": jnp.mean}
    if layer.merge in joined:
        return joined[layer.merge](jnp.stack(found), axis=0)
    return jnp.concatenate(found, axis=-1)


def _one(layer: Any, run: Any, x: Any, prefix: str, backward: bool) -> Any:
    import jax.numpy as jnp
    from jax import lax

    n, lstm = layer.units, layer.op == "lstm"
    gates = 4 if lstm else 3
    w = jnp.asarray(run.param(f"{prefix}kernel", (x.shape[-1], gates * n)))
    u = jnp.asarray(run.param(f"{prefix}recurrent", (n, gates * n)))
    after = _resets_after(layer, run)
    b, d = _biases(layer, run, prefix, gates, after)

    def inputs(at: Any, k: int) -> Any:
        return at @ w[:, k * n : (k + 1) * n] + b[k * n : (k + 1) * n]

    def states(h: Any, k: int) -> Any:
        return h @ u[:, k * n : (k + 1) * n] + d[k * n : (k + 1) * n]

    def lstm_step(carry: Any, at: Any) -> Any:
        h, c = carry
        i, f, o = (lax.logistic(inputs(at, k) + states(h, k)) for k in (0, 1, 3))
        c = f * c + i * lax.tanh(inputs(at, 2) + states(h, 2))
        h = o * lax.tanh(c)
        return (h, c), h

    def gru_step(carry: Any, at: Any) -> Any:
        h, c = carry
        r, z = (lax.logistic(inputs(at, k) + states(h, k)) for k in (0, 1))
        inner = r * states(h, 2) if after else states(r * h, 2)
        h = (1.0 - z) * lax.tanh(inputs(at, 2) + inner) + z * h
        return (h, c), h

    start = jnp.zeros((*x.shape[:-2], n), x.dtype)
    sequence = jnp.moveaxis(x, -2, 0)
    step = lstm_step if lstm else gru_step
    (last, _), every = lax.scan(step, (start, start), sequence, reverse=backward)
    return jnp.moveaxis(every, 0, -2) if layer.return_sequences else last


def _resets_after(layer: Any, run: Any) -> bool:
    given = getattr(layer, "reset_after", None)
    return run.dialect.name in ("torch", "keras", "jax") if given is None else given


def _biases(layer: Any, run: Any, prefix: str, gates: int, after: bool) -> Any:
    """Biases beside the input's product and beside the state's, zeros where there are none."""
    import jax.numpy as jnp

    n, name = layer.units, run.dialect.name
    zeros = jnp.zeros(gates * n)
    if not layer.bias:
        return zeros, zeros
    b = jnp.asarray(run.param(f"{prefix}bias", (gates * n,)))
    if name in ("torch", "onnx") or (gates == 3 and name == "keras" and after):
        return b, jnp.asarray(run.param(f"{prefix}recurrent_bias", (gates * n,)))
    if gates == 3 and name == "jax":
        own = jnp.asarray(run.param(f"{prefix}candidate_bias", (n,)))
        return b, jnp.concatenate([zeros[: 2 * n], own])
    return b, zeros
