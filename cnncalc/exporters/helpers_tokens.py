"""Classes that generated PyTorch source carries along for tokens, windows and recurrence."""

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
    "Attention": '''class Attention(nn.Module):
    """Multi-head attention over the last two axes; any before them are windows.

    Queries, keys and values come of one map, or of three maps of (up to) three inputs.
    """

    def __init__(
        self, features, heads, widths, out_features=None, bias=True, out_bias=True, causal=False,
        scale=None, dropout=0,
    ):
        super().__init__()
        self.heads, self.widths, self.causal = heads, widths, causal
        self.scale, self.dropout = scale, dropout
        if isinstance(features, tuple):
            maps = zip(features, widths)
            self.maps = nn.ModuleList(nn.Linear(c, width, bias=bias) for c, width in maps)
        else:
            self.qkv = nn.Linear(features, sum(widths), bias=bias)
        self.out = None
        if out_features is not None:
            self.out = nn.Linear(widths[-1], out_features, bias=out_bias)

    def mask(self, x):
        """What is added to the scores."""
        if not self.causal:
            return None
        later = x.new_full((x.shape[-2], x.shape[-2]), float("-inf"))
        return later.triu(1)

    def project(self, query, key, value):
        if hasattr(self, "qkv"):
            return self.qkv(query).split(self.widths, dim=-1)
        key = query if key is None else key
        value = key if value is None else value
        return [m(x) for m, x in zip(self.maps, (query, key, value))]

    def forward(self, query, key=None, value=None):
        parts = self.project(query, key, value)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for x in parts)
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.mask(query), dropout_p=dropout, scale=self.scale
        )
        x = x.transpose(-2, -3).flatten(-2)
        return x if self.out is None else self.out(x)
''',
    "WindowAttention": '''class WindowAttention(Attention):
    """Attention inside windows: a trained number for every distance, and shifted windows."""

    def __init__(self, features, heads, widths, window, shift=None, relative=True, **fields):
        super().__init__(features, heads, widths, **fields)
        self.window, self.shift = window, shift
        distances = math.prod(2 * w - 1 for w in window)
        self.relative = None
        if relative:
            self.relative = nn.Parameter(torch.randn(distances, heads) * 0.02)

    def bias(self, device):
        """(heads, T, T): the number of the distance between two places."""
        sides = [torch.arange(w, device=device) for w in self.window]
        row = 0
        for place, w in zip(torch.meshgrid(*sides, indexing="ij"), self.window):
            place = place.flatten()
            row = row * (2 * w - 1) + place[:, None] - place[None, :] + w - 1
        return self.relative[row].permute(2, 0, 1)

    def hidden(self, x):
        """(windows, 1, T, T): -100 for tokens that the roll has brought together."""
        region = torch.zeros(1, 1, device=x.device)
        for shift, w, count in zip(self.shift, self.window, x.shape[1:]):
            own = torch.zeros(count, w, device=x.device)
            own[-1, w - shift :] = 1
            region = region[:, None, :, None] * 2 + own[None, :, None, :]
            region = region.flatten(2).flatten(0, 1)
        apart = region[:, :, None] != region[:, None, :]
        return -100.0 * apart.unflatten(0, x.shape[1:-2]).unsqueeze(-3).to(x.dtype)

    def mask(self, x):
        parts = [super().mask(x)]
        if self.relative is not None:
            parts.append(self.bias(x.device))
        if self.shift is not None:
            parts.append(self.hidden(x))
        found = [part for part in parts if part is not None]
        return sum(found[1:], found[0]) if found else None
''',
    "LSTM": '''class LSTM(nn.LSTM):
    """An LSTM with one bias a gate: the second one of nn.LSTM stays zero, and is not trained."""

    def __init__(self, *args, **fields):
        super().__init__(*args, **fields)
        for name in [n for n, _ in self.named_parameters() if n.startswith("bias_hh")]:
            zeros = torch.zeros_like(getattr(self, name))
            delattr(self, name)
            self.register_buffer(name, zeros, persistent=False)
        self._flat_weights = [getattr(self, name) for name in self._flat_weights_names]
''',
}
