"""Small classes that generated source carries along where the framework has none."""

TORCH = {
    "Scale": '''class Scale(nn.Module):
    """A trained factor and shift for every channel."""

    def __init__(self, channels, scale=True, bias=False, axis=1):
        super().__init__()
        self.axis = axis
        self.scale = nn.Parameter(torch.ones(channels)) if scale else None
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x):
        shape = [1] * x.ndim
        shape[self.axis] = -1
        if self.scale is not None:
            x = x * self.scale.view(shape)
        return x if self.bias is None else x + self.bias.view(shape)
''',
    "ConnectedConv2d": '''class ConnectedConv2d(nn.Module):
    """A convolution whose every filter reads only some of the input maps (LeNet-5's C3)."""

    def __init__(self, connections, **fields):
        super().__init__()
        self.connections = connections
        self.filters = nn.ModuleList(nn.Conv2d(len(maps), 1, **fields) for maps in connections)

    def forward(self, x):
        pairs = zip(self.filters, self.connections)
        return torch.cat([conv(x[:, maps]) for conv, maps in pairs], dim=1)
''',
    "PaddedAvgPool2d": '''class PaddedAvgPool2d(nn.Module):
    """Average pooling with a border (left, right, top, bottom) that is not counted."""

    def __init__(self, kernel_size, padding, stride=None):
        super().__init__()
        self.pool = nn.AvgPool2d(kernel_size, stride)
        self.padding = padding

    def forward(self, x):
        inside = F.pad(torch.ones_like(x[:1, :1]), self.padding)
        return self.pool(F.pad(x, self.padding)) / self.pool(inside)
''',
    "pixel_shuffle": '''def pixel_shuffle(x, scale):
    """Depth to space along any number of axes: (N, C * s * ..., H, ...) to (N, C, H * s, ...)."""
    rank = len(scale)
    x = x.unflatten(1, (-1, *scale))
    order = [axis for i in range(rank) for axis in (2 + rank + i, 2 + i)]
    sizes = [n * s for n, s in zip(x.shape[2 + rank :], scale)]
    return x.permute(0, 1, *order).reshape(len(x), -1, *sizes)
''',
    "resize": '''def resize(x, size, coordinates, cubic=None):
    """Sums of the two nearest neighbours along every axis, or of four by Keys' kernel."""
    for axis, new in enumerate(size, 2):
        old = x.shape[axis]
        i = torch.arange(new, dtype=torch.float64, device=x.device)
        if coordinates == "align_corners":
            place = i * (old - 1) / max(new - 1, 1)
        else:
            place = i * old / new if coordinates == "asymmetric" else (i + 0.5) * old / new - 0.5
        place = place if cubic is not None else place.clamp(0, old - 1)
        weights = x.new_zeros(new, old)
        for offset in (-1, 0, 1, 2):
            near = place.floor() + offset
            d = (place - near).abs()
            w = (1 - d).clamp(min=0)
            if cubic is not None:
                inner = ((cubic + 2) * d - (cubic + 3)) * d * d + 1
                w = torch.where(d <= 1, inner, cubic * (((d - 5) * d + 8) * d - 4) * (d < 2))
            near = near.clamp(0, old - 1).long()
            weights.scatter_add_(1, near[:, None], w[:, None].to(x.dtype))
        x = torch.tensordot(x, weights, dims=([axis], [1])).movedim(-1, axis)
    return x
''',
}
