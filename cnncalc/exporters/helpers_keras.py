"""Classes and functions that generated Keras source carries along."""

HELPERS = {
    "Scale": '''class Scale(layers.Layer):
    """A trained factor and shift for every channel."""

    def __init__(self, bias=False, **fields):
        super().__init__(**fields)
        self.with_bias = bias

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones", name="scale")
        if self.with_bias:
            self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def call(self, x):
        return x * self.scale + self.bias if self.with_bias else x * self.scale
''',
    "lrn": '''def lrn(x, size, alpha, beta, k):
    """x / (k + alpha / size * sum of the squares of `size` neighbouring maps) ** beta."""
    before, channels = size // 2, x.shape[-1]
    ends = [[0, 0]] * (len(x.shape) - 1) + [[before, size - 1 - before]]
    squares = ops.pad(ops.square(x), ends)
    total = sum(squares[..., i : i + channels] for i in range(size))
    return x / (k + alpha / size * total) ** beta
''',
    "ClassToken": '''class ClassToken(layers.Layer):
    """Puts trained tokens before the others, or behind them."""

    def __init__(self, count=1, last=False, **fields):
        super().__init__(**fields)
        self.count, self.last = count, last

    def build(self, shape):
        self.token = self.add_weight(shape=(self.count, shape[-1]), name="token")

    def call(self, x):
        token = ops.broadcast_to(self.token, (*ops.shape(x)[:-2], self.count, x.shape[-1]))
        return ops.concatenate([x, token] if self.last else [token, x], axis=-2)
''',
    "Positional": '''class Positional(layers.Layer):
    """Adds a trained array, the same for every item."""

    def __init__(self, shape, **fields):
        super().__init__(**fields)
        self.sizes = shape

    def build(self, shape):
        self.position = self.add_weight(shape=self.sizes, name="position")

    def call(self, x):
        return x + self.position
''',
    "Array": '''class Array(layers.Layer):
    """An array of its own, the same for every item; what comes in is not read."""

    def __init__(self, shape, trainable=True, **fields):
        super().__init__(**fields)
        self.sizes, self.trained = shape, trainable

    def build(self, shape):
        self.value = self.add_weight(shape=self.sizes, trainable=self.trained, name="value")

    def call(self, x):
        return ops.broadcast_to(self.value, (ops.shape(x)[0], *self.sizes))
''',
    "waves": '''def waves(x):
    """Sines and cosines of the token's number."""
    tokens, features = x.shape[-2:]
    channel = ops.arange(features, dtype="float32")
    rate = 10000.0 ** (-(channel - channel % 2) / features)
    angle = ops.arange(tokens, dtype="float32")[:, None] * rate
    return ops.where(channel % 2 == 1, ops.cos(angle), ops.sin(angle))
''',
}
