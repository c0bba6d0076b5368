"""Classes that generated PyTorch source carries along for tokens and windows."""

TORCH = {
    "StochasticDepth": '''class StochasticDepth(nn.Module):
    """Drops whole items of the batch in training, with probability p."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - self.p)
        return x * kept / (1 - self.p)
''',
    "ClassToken": '''class ClassToken(nn.Module):
    """Puts trained tokens before the others, or behind them."""

    def __init__(self, features, count=1, last=False):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(count, features))
        self.last = last

    def forward(self, x):
        token = self.token.expand(*x.shape[:-2], -1, -1)
        return torch.cat([x, token] if self.last else [token, x], dim=-2)
''',
    "Positional": '''class Positional(nn.Module):
    """Adds a trained array, the same for every item."""

    def __init__(self, *shape):
        super().__init__()
        self.position = nn.Parameter(torch.randn(shape) * 0.02)

    def forward(self, x):
        return x + self.position
''',
    "Sinusoidal": '''class Sinusoidal(nn.Module):
    """Adds sines and cosines of the token's number."""

    def forward(self, x):
        tokens, features = x.shape[-2:]
        even = torch.arange(features, device=x.device) // 2 * 2
        rate = 10000.0 ** (-even / features)
        angle = torch.arange(tokens, device=x.device)[:, None] * rate
        odd = torch.arange(features, device=x.device) % 2 == 1
        return x + torch.where(odd, angle.cos(), angle.sin()).to(x.dtype)
''',
    "Array": '''class Array(nn.Module):
    """An array of its own, the same for every item; what comes in is not read."""

    def __init__(self, *shape, trainable=True):
        super().__init__()
        if trainable:
            self.value = nn.Parameter(torch.zeros(shape))
        else:
            self.register_buffer("value", torch.zeros(shape))

    def forward(self, x):
        return self.value.expand(len(x), *self.value.shape)
''',
    "constant": '''def constant(x, shape, value):
    """A volume filled with one number, for every item of the batch."""
    return x.new_full((len(x), *shape), value)
''',
    "window_partition": '''def window_partition(x, window, grid=False):
    """(N, H, W, C) to (N, H/h, W/w, h*w, C); of a grid, a window spans the whole map."""
    rank = len(window)
    sizes = []
    for n, w in zip(x.shape[1:], window):
        sizes += [w, n // w] if grid else [n // w, w]
    x = x.reshape(len(x), *sizes, x.shape[-1])
    outer, inner = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
    if grid:
        outer, inner = inner, outer
    return x.permute(0, *outer, *inner, 2 * rank + 1).flatten(rank + 1, 2 * rank)
''',
    "window_reverse": '''def window_reverse(x, window, grid=False):
    """(N, H/h, W/w, h*w, C) to (N, H, W, C): the inverse of window_partition."""
    rank = len(window)
    sizes = [n * w for n, w in zip(x.shape[1:], window)]
    x = x.unflatten(rank + 1, window)
    order = []
    for i in range(1, rank + 1):
        order += [rank + i, i] if grid else [i, rank + i]
    return x.permute(0, *order, 2 * rank + 1).reshape(len(x), *sizes, x.shape[-1])
''',
}
