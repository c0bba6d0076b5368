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
    "Recurrence": '''class Recurrence(nn.Module):
    """An LSTM of the gates i, f, g, o, or a GRU of r, z, n, from a state of zeros.

    `second` numbers of the products with the last state have a bias of their own; a GRU's
    reset gate acts after that product if `after`. Two directions are joined by `merge`.
    """

    gates: int
    units: int
    bias: bool = True
    second: int = 0
    after: bool = False
    reverse: bool = False
    merge: str = ""
    sequences: bool = False

    def run(self, x, name):
        n = self.units
        given = nn.Dense(self.gates * n, use_bias=self.bias, name=name)(x)
        kernel = self.param(f"{name}_recurrent", nn.initializers.orthogonal(), (n, self.gates * n))
        bias = jnp.zeros(self.gates * n)
        if self.second:
            own = self.param(f"{name}_bias", nn.initializers.zeros, (self.second,))
            bias = bias.at[-self.second :].set(own)

        def lstm(state, step):
            h, c = state
            i, f, g, o = jnp.split(step + h @ kernel + bias, 4, axis=-1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        def gru(h, step):
            both = step[:, : 2 * n] + h @ kernel[:, : 2 * n] + bias[: 2 * n]
            r, z = jnp.split(nn.sigmoid(both), 2, axis=-1)
            inner = (h if self.after else r * h) @ kernel[:, 2 * n :] + bias[2 * n :]
            candidate = jnp.tanh(step[:, 2 * n :] + (r * inner if self.after else inner))
            h = z * h + (1 - z) * candidate
            return h, h

        zeros = jnp.zeros((len(x), n))
        step, start = (lstm, (zeros, zeros)) if self.gates == 4 else (gru, zeros)
        return jnp.swapaxes(jax.lax.scan(step, start, jnp.swapaxes(given, 0, 1))[1], 0, 1)

    @nn.compact
    def __call__(self, x):
        ways = {"forward": self.reverse, **({"backward": True} if self.merge else {})}
        found = []
        for name, back in ways.items():
            states = self.run(jnp.flip(x, 1) if back else x, name)
            if not self.sequences:
                found.append(states[:, -1])
            else:
                found.append(jnp.flip(states, 1) if back else states)
        if self.merge in ("", "concat"):
            return jnp.concatenate(found, axis=-1)
        a, b = found
        return a * b if self.merge == "multiply" else (a + b) / (1 + (self.merge == "average"))
''',
}
