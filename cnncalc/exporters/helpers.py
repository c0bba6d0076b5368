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
}
