"""Modules that generated Flax source carries along."""

HELPERS = {
    "Scale": '''class Scale(nn.Module):
    """A trained factor and shift for every channel."""

    scale: bool = True
    bias: bool = False

    @nn.compact
    def __call__(self, x):
        if self.scale:
            x = x * self.param("scale", nn.initializers.ones, x.shape[-1:])
        return x + self.param("bias", nn.initializers.zeros, x.shape[-1:]) if self.bias else x
''',
    "PReLU": '''class PReLU(nn.Module):
    """A rectifier with a trained slope for every channel."""

    @nn.compact
    def __call__(self, x):
        slope = self.param("slope", nn.initializers.constant(0.25), x.shape[-1:])
        return jnp.where(x >= 0, x, slope * x)
''',
    "LRN": '''class LRN(nn.Module):
    """x / (k + alpha / size * sum of the squares of `size` neighbouring maps)^beta."""

    size: int
    alpha: float
    beta: float
    k: float

    @nn.compact
    def __call__(self, x):
        before = (self.size - 1) // 2 if self.size % 2 else self.size // 2
        ends = [(0, 0)] * (x.ndim - 1) + [(before, self.size - 1 - before)]
        squares = jnp.pad(x * x, ends)
        total = sum(squares[..., i : i + x.shape[-1]] for i in range(self.size))
        return x / (self.k + self.alpha / self.size * total) ** self.beta
''',
    "ClassToken": '''class ClassToken(nn.Module):
    """Puts trained tokens before the others, or behind them."""

    count: int = 1
    last: bool = False

    @nn.compact
    def __call__(self, x):
        token = self.param("token", nn.initializers.zeros, (self.count, x.shape[-1]))
        token = jnp.broadcast_to(token, (*x.shape[:-2], *token.shape))
        return jnp.concatenate([x, token] if self.last else [token, x], axis=-2)
''',
    "Positional": '''class Positional(nn.Module):
    """Adds a trained array, the same for every item."""

    sizes: tuple

    @nn.compact
    def __call__(self, x):
        return x + self.param("position", nn.initializers.normal(0.02), self.sizes)
''',
    "Array": '''class Array(nn.Module):
    """A trained array, the same for every item; what comes in is not read."""

    sizes: tuple

    @nn.compact
    def __call__(self, x):
        value = self.param("value", nn.initializers.zeros, self.sizes)
        return jnp.broadcast_to(value, (len(x), *self.sizes))
''',
    "waves": '''def waves(x):
    """Sines and cosines of the token's number."""
    tokens, features = x.shape[-2:]
    channel = jnp.arange(features)
    angle = jnp.arange(tokens)[:, None] * 10000.0 ** (-(channel - channel % 2) / features)
    return jnp.where(channel % 2 == 1, jnp.cos(angle), jnp.sin(angle))
''',
}
