"""The references of attention and recurrence, in `lax` and `jax.numpy` alone."""

from math import prod
from typing import Any


def attention(layer: Any, run: Any, *xs: Any) -> Any:
    """(N, ..., T, C) to (N, ..., T, units), one head's axis after the others in every product."""
    import jax
    import jax.numpy as jnp

    heads, channels = layer.heads, xs[0].shape[-1]
    dim = channels if layer.dim is None else layer.dim
    d = dim // heads if layer.key_dim is None else layer.key_dim
    e = layer.value_dim
    if e is None:
        e = d if layer.dim is None else dim // heads
    q, k, v = _maps(layer, run, xs, d, e)
    if layer.cosine:
        q, k = (y / jnp.maximum(jnp.linalg.norm(y, axis=-1, keepdims=True), 1e-12) for y in (q, k))
        gain = jnp.exp(jnp.minimum(run.param("logit_scale", (heads,)), jnp.log(100.0)))
        scores = jnp.einsum("...qhd,...khd,h->...hqk", q, k, gain)
    else:
        width = d if layer.scale_dim is None else layer.scale_dim
        scores = jnp.einsum("...qhd,...khd->...hqk", q, k) / width**0.5
    if layer.relative_bias is not None:
        scores = scores + _bias(layer, run, xs[0])
    if layer.causal:
        n = scores.shape[-1]
        scores = jnp.where(jnp.arange(n)[:, None] >= jnp.arange(n), scores, -jnp.inf)
    if layer.window is not None and _any(layer.shift):
        scores = scores + _shift_mask(layer, xs[0].shape[1:-2])
    shares = jax.nn.softmax(scores, axis=-1)
    y = jnp.einsum("...hqk,...khe->...qhe", shares, v)
    y = y.reshape((*y.shape[:-2], heads * e))
    if not layer.project:
        return y
    units = channels if layer.units is None else layer.units
    y = y @ run.param("output", (heads * e, units))
    with_bias = layer.bias if layer.output_bias is None else layer.output_bias
    return y + run.param("output_bias", (units,)) if with_bias else y


def _maps(layer: Any, run: Any, xs: Any, d: Any, e: Any) -> list[Any]:
    """Queries, keys and values (..., T, heads, d)."""
    import jax.numpy as jnp

    heads = layer.heads
    ends = [heads * d, heads * 2 * d, heads * (2 * d + e)]
    if len(xs) == 1 and layer.fused is not False:
        y = xs[0] @ run.param("qkv", (xs[0].shape[-1], ends[2]))
        if layer.bias:
            b = jnp.asarray(run.param("qkv_bias", (ends[2],)))
            y = y + (b.at[ends[0] : ends[1]].set(0) if layer.cosine else b)
        parts = jnp.split(y, ends[:2], axis=-1)
    else:
        parts = []
        three = (xs[0], xs[1] if len(xs) > 1 else xs[0], xs[-1])
        for name, x, n in zip(("query", "key", "value"), three, (d, d, e), strict=True):
            y = x @ run.param(name, (x.shape[-1], heads * n))
            if layer.bias and (name != "key" or not layer.cosine):
                y = y + run.param(f"{name}_bias", (heads * n,))
            parts.append(y)
    return [p.reshape((*p.shape[:-1], heads, p.shape[-1] // heads)) for p in parts]


def _any(shift: Any) -> bool:
    return any(shift) if isinstance(shift, tuple) else bool(shift)


def _window(layer: Any, rank: int) -> tuple[int, ...]:
    return layer.window if isinstance(layer.window, tuple) else (layer.window,) * max(rank, 1)


def _bias(layer: Any, run: Any, x: Any) -> Any:
    """(heads, T, T) from a table with one axis for each axis of the window."""
    import jax
    import jax.numpy as jnp

    window = _window(layer, x.ndim - 3)
    spans = tuple(2 * w - 1 for w in window)
    if layer.relative_bias == "table":
        table = run.param("relative", (prod(spans), layer.heads))
    else:
        grids = jnp.meshgrid(*(jnp.arange(1 - w, w) for w in window), indexing="ij")
        far = jnp.stack([g / max(w - 1, 1) * 8.0 for g, w in zip(grids, window, strict=True)], -1)
        far = (jnp.sign(far) * jnp.log2(jnp.abs(far) + 1.0) / jnp.log2(8.0)).astype(x.dtype)
        inner = far @ run.param("relative_hidden", (len(window), layer.hidden))
        inner = jax.nn.relu(inner + run.param("relative_hidden_bias", (layer.hidden,)))
        table = 16 * jax.nn.sigmoid(
            inner @ run.param("relative_output", (layer.hidden, layer.heads))
        )
    table = jnp.asarray(table).reshape((*spans, layer.heads))
    token = jnp.arange(prod(window))
    places = jnp.unravel_index(token, window)
    found = table[
        tuple(p[:, None] - p[None, :] + w - 1 for p, w in zip(places, window, strict=True))
    ]
    return jnp.moveaxis(found, -1, 0)


def _shift_mask(layer: Any, counts: Any) -> Any:
    """(*windows, 1, T, T): -100 between places of the rolled map that were not neighbours.

    The map is painted in three bands an axis, as Swin's code does, and cut into windows.
    """
    import jax.numpy as jnp

    rank = len(counts)
    window = _window(layer, rank)
    shift = layer.shift if isinstance(layer.shift, tuple) else (layer.shift,) * rank
    color: Any = 0
    for axis, (count, w, s) in enumerate(zip(counts, window, shift, strict=True)):
        at = jnp.arange(count * w)
        band = (at >= count * w - w).astype(int) + ((at >= count * w - s) & (s > 0))
        color = jnp.expand_dims(color * 3, -1) + band.reshape((1,) * axis + (-1,))
    color = color.reshape([n for pair in zip(counts, window, strict=True) for n in pair])
    color = color.transpose([*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)])
    flat = color.reshape((*counts, 1, prod(window)))
    return jnp.where(flat[..., :, None] == flat[..., None, :], 0.0, -100.0)
