"""Classes that generated PyTorch source carries along for attention and recurrence."""

TORCH = {
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

    def weigh(self, query, key):
        """Queries and keys as their products are scores, before the scale."""
        return query, key

    def project(self, query, key, value):
        if hasattr(self, "qkv"):
            return self.qkv(query).split(self.widths, dim=-1)
        key = query if key is None else key
        value = key if value is None else value
        return [m(x) for m, x in zip(self.maps, (query, key, value))]

    def forward(self, query, key=None, value=None):
        parts = self.project(query, key, value)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for x in parts)
        q, k = self.weigh(q, k)
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.mask(query), dropout_p=dropout, scale=self.scale
        )
        x = x.transpose(-2, -3).flatten(-2)
        return x if self.out is None else self.out(x)
''',
    "WindowAttention": '''class WindowAttention(Attention):
    """Attention inside windows: a number for every distance, and shifted windows.

    The numbers are trained, or made of the distances by a network of `hidden` units.
    """

    def __init__(
        self, features, heads, widths, window=None, shift=None, relative=True, hidden=None,
        **fields,
    ):
        super().__init__(features, heads, widths, **fields)
        self.window, self.shift = window, shift
        self.relative = self.distances = None
        if relative and hidden is None:
            count = math.prod(2 * w - 1 for w in window)
            self.relative = nn.Parameter(torch.randn(count, heads) * 0.02)
        elif relative:
            maps = nn.Linear(len(window), hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False)
            self.distances = nn.Sequential(*maps)

    def table(self, device):
        """(distances, heads)"""
        if self.distances is None:
            return self.relative
        sides = [torch.arange(1 - w, w, device=device) / max(w - 1, 1) for w in self.window]
        apart = 8 * torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1).flatten(0, -2)
        return 16 * self.distances(apart.sign() * (apart.abs() + 1).log2() / 3).sigmoid()

    def bias(self, device):
        """(heads, T, T): the number of the distance between two places."""
        sides = [torch.arange(w, device=device) for w in self.window]
        row = 0
        for place, w in zip(torch.meshgrid(*sides, indexing="ij"), self.window):
            place = place.flatten()
            row = row * (2 * w - 1) + place[:, None] - place[None, :] + w - 1
        return self.table(device)[row].permute(2, 0, 1)

    def hidden(self, x):
        """(windows, 1, T, T): -100 for tokens that the roll has brought together."""
        region = torch.zeros(1, 1, device=x.device)
        for shift, w, count in zip(self.shift, self.window, x.shape[1:]):
            own = torch.zeros(count, w, device=x.device)
            own[-1, w - shift if shift else w :] = 1
            region = region[:, None, :, None] * 2 + own[None, :, None, :]
            region = region.flatten(2).flatten(0, 1)
        apart = region[:, :, None] != region[:, None, :]
        return -100.0 * apart.unflatten(0, x.shape[1:-2]).unsqueeze(-3).to(x.dtype)

    def mask(self, x):
        parts = [super().mask(x)]
        if self.relative is not None or self.distances is not None:
            parts.append(self.bias(x.device))
        if self.shift is not None:
            parts.append(self.hidden(x))
        found = [part for part in parts if part is not None]
        return sum(found[1:], found[0]) if found else None
''',
    "CosineAttention": '''class CosineAttention(WindowAttention):
    """Scores by the angle of query and key, times a trained factor; keys have no bias."""

    def __init__(self, features, heads, widths, bias=True, **fields):
        super().__init__(features, heads, widths, bias=bias, scale=1.0, **fields)
        self.logit_scale = nn.Parameter(torch.full((heads,), math.log(10)))
        if isinstance(features, tuple):
            self.maps[1] = nn.Linear(features[1], widths[1], bias=False)

    def project(self, query, key, value):
        if not hasattr(self, "qkv") or self.qkv.bias is None:
            return super().project(query, key, value)
        q, k, v = self.qkv.bias.split(self.widths)
        bias = torch.cat([q, torch.zeros_like(k), v])
        return F.linear(query, self.qkv.weight, bias).split(self.widths, dim=-1)

    def weigh(self, query, key):
        factor = self.logit_scale.clamp(max=math.log(100)).exp()[:, None, None]
        return F.normalize(query, dim=-1) * factor, F.normalize(key, dim=-1)
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
    "GRU": '''class GRU(nn.Module):
    """A GRU step by step: one whose biases or whose reset gate nn.GRU does not have.

    The reset gate acts before the product with the last state unless `reset_after`; `second`
    is the number of gates (0, 1 or 3) whose product with the last state has a bias of its own.
    """

    def __init__(
        self, input_size, hidden_size, bias=True, batch_first=True, bidirectional=False,
        reset_after=False, second=0,
    ):
        super().__init__()
        self.hidden_size, self.reset_after, self.second = hidden_size, reset_after, second
        both, gates = 1 + bidirectional, 3 * hidden_size
        self.inputs = nn.ModuleList(
            nn.Linear(input_size, gates, bias=bias) for _ in range(both)
        )
        self.states = nn.ModuleList(
            nn.Linear(hidden_size, gates, bias=False) for _ in range(both)
        )
        self.biases = nn.ParameterList(
            torch.zeros(second * hidden_size) for _ in range(both if second else 0)
        )

    def steps(self, x, number):
        n, state = self.hidden_size, self.states[number].weight
        bias = self.biases[number] if self.second else x.new_zeros(n)
        h = x.new_zeros(len(x), n)
        for step in self.inputs[number](x).unbind(1):
            gates = F.linear(h, state[: 2 * n], bias[: 2 * n] if self.second == 3 else None)
            r, z = torch.sigmoid(step[:, : 2 * n] + gates).chunk(2, dim=1)
            if self.reset_after:
                inner = r * F.linear(h, state[2 * n :], bias[-n:])
            else:
                inner = F.linear(r * h, state[2 * n :], bias[-n:])
            h = z * h + (1 - z) * torch.tanh(step[:, 2 * n :] + inner)
            yield h

    def forward(self, x):
        found = [torch.stack(list(self.steps(x, 0)), dim=1)]
        last = [found[0][:, -1]]
        if len(self.inputs) == 2:
            back = torch.stack(list(self.steps(x.flip(1), 1)), dim=1)
            last.append(back[:, -1])
            found.append(back.flip(1))
        return torch.cat(found, dim=-1), torch.stack(last)
''',
}
