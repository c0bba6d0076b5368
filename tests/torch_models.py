"""Networks in torch, written after their published definitions, for counting on meta devices.

torchvision's where torchvision has them (version 0.29); the others after the sources that
the bundled specs name. Nothing here is executed on real numbers.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Joined(nn.Module):
    """Branches over one input, and what is made of their outputs."""

    def __init__(self, join: Callable[[Sequence[Any]], Any], *branches: nn.Module) -> None:
        super().__init__()
        self.join = join
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Any) -> Any:
        return self.join([branch(x) for branch in self.branches])


def summed(*branches: nn.Module) -> nn.Module:
    return Joined(sum, *branches)


def concatenated(*branches: nn.Module) -> nn.Module:
    return Joined(lambda outputs: torch.cat(list(outputs), 1), *branches)


class Permute(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return x.permute(self.axes)


def unit(
    cin: int, c: int, k: Any = 1, s: int = 1, p: Any = None, g: int = 1, act: Any = nn.ReLU
) -> nn.Sequential:
    """Convolution without bias, batchnorm, activation."""
    pad = (k - 1) // 2 if p is None else p
    layers: list[nn.Module] = [nn.Conv2d(cin, c, k, s, pad, groups=g, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(c), *([act()] if act else []))


def head(*widths: int) -> list[nn.Module]:
    """Linear layers, from the first width to the last."""
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return layers[:-1]


def global_head(c: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), *head(c, 1000)]


def alexnet(
    channels: Sequence[int], groups: int = 1, pad: int = 0, pool: Any = nn.MaxPool2d
) -> nn.Module:
    a, b, c, d, e = channels
    return nn.Sequential(
        nn.Conv2d(3, a, 11, 4, pad), nn.ReLU(), pool(3, 2),
        nn.Conv2d(a, b, 5, padding=2, groups=groups), nn.ReLU(), pool(3, 2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1, groups=groups), nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1, groups=groups), nn.ReLU(), pool(3, 2),
        nn.AdaptiveAvgPool2d(6), *head(e * 36, 4096, 4096, 1000),
    )  # fmt: skip


def vgg(*depths: int) -> nn.Module:
    layers: list[nn.Module] = []
    cin = 3
    for depth, c in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(cin, c, 3, padding=1), nn.ReLU()]
            cin = c
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), *head(512 * 49, 4096, 4096, 1000))


def resnet(bottleneck: bool, *depths: int) -> nn.Module:
    layers: list[nn.Module] = [*unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    cin = 64
    for i, depth in enumerate(depths):
        c = 64 << i
        out = 4 * c if bottleneck else c
        for j in range(depth):
            s = 2 if i and not j else 1
            if bottleneck:
                body = [*unit(cin, c), *unit(c, c, 3, s), *unit(c, out, act=None)]
            else:
                body = [*unit(cin, c, 3, s), *unit(c, c, 3, act=None)]
            same = s == 1 and cin == out
            shortcut = nn.Identity() if same else unit(cin, out, 1, s, act=None)
            layers += [summed(nn.Sequential(*body), shortcut), nn.ReLU()]
            cin = out
    return nn.Sequential(*layers, *global_head(cin))


def squeezenet(first: int, k: int, pools: Sequence[int], last_pad: int) -> nn.Module:
    """The authors' prototxts: pools round up; `pools` follow the fires of these numbers."""
    layers: list[nn.Module] = [nn.Conv2d(3, first, k, 2), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
    cin = first
    for i in range(8):
        s = 16 * (i // 2 + 1)
        squeeze = nn.Sequential(nn.Conv2d(cin, s, 1), nn.ReLU())
        layers += [squeeze, concatenated(nn.Conv2d(s, 4 * s, 1), nn.Conv2d(s, 4 * s, 3, padding=1))]
        cin = 8 * s
        if i + 2 in pools:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
    layers += [nn.Conv2d(cin, 1000, 1, padding=last_pad), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


def mobilenet_v1() -> nn.Module:
    layers: list[nn.Module] = [*unit(3, 32, 3, 2, act=nn.ReLU6)]
    cin = 32
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    for c, s in [*plan, *[(512, 1)] * 5, (1024, 2), (1024, 1)]:
        layers += [*unit(cin, cin, 3, s, g=cin, act=nn.ReLU6), *unit(cin, c, act=nn.ReLU6)]
        cin = c
    return nn.Sequential(*layers, *global_head(cin))


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [*unit(3, 32, 3, 2, act=nn.ReLU6)]
    cin = 32
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for t, c, depth, stride in [*plan, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for j in range(depth):
            s, wide = (1 if j else stride), t * cin
            body = unit(cin, wide, act=nn.ReLU6) if t > 1 else nn.Identity()
            rest = (unit(wide, wide, 3, s, g=wide, act=nn.ReLU6), unit(wide, c, act=None))
            block = nn.Sequential(body, *rest)
            layers.append(summed(block, nn.Identity()) if s == 1 and cin == c else block)
            cin = c
    return nn.Sequential(*layers, unit(cin, 1280, act=nn.ReLU6), *global_head(1280))


def densenet(k: int, *depths: int) -> nn.Module:
    c = 2 * k
    layers: list[nn.Module] = [*unit(3, c, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for i, depth in enumerate(depths):
        for _ in range(depth):
            layer = nn.Sequential(
                nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 4 * k, 1, bias=False),
                nn.BatchNorm2d(4 * k), nn.ReLU(), nn.Conv2d(4 * k, k, 3, 1, 1, bias=False),
            )  # fmt: skip
            layers.append(concatenated(nn.Identity(), layer))
            c += k
        layers += [nn.BatchNorm2d(c), nn.ReLU()]
        if i + 1 < len(depths):
            layers += [nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)]
            c //= 2
    return nn.Sequential(*layers, *global_head(c))


def excitation(c: int, squeezed: int) -> nn.Module:
    gate = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, c, 1),
        nn.Sigmoid(),
    )  # fmt: skip
    return Joined(lambda outputs: outputs[0] * outputs[1], nn.Identity(), gate)


def efficientnet_b0() -> nn.Module:
    layers: list[nn.Module] = [*unit(3, 32, 3, 2, act=nn.SiLU)]
    cin = 32
    plan = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)]
    for t, k, stride, c, depth in [*plan, (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]:
        for j in range(depth):
            s, wide = (1 if j else stride), t * cin
            block = nn.Sequential(
                unit(cin, wide, act=nn.SiLU) if t > 1 else nn.Identity(),
                unit(wide, wide, k, s, g=wide, act=nn.SiLU),
                excitation(wide, max(1, cin // 4)),
                unit(wide, c, act=None),
            )
            layers.append(summed(block, nn.Identity()) if s == 1 and cin == c else block)
            cin = c
    return nn.Sequential(*layers, unit(cin, 1280, act=nn.SiLU), *global_head(1280))


class LayerScale(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(c, 1, 1))

    def forward(self, x: Any) -> Any:
        return x * self.scale


def norm2d(c: int) -> nn.Module:
    """A layer norm over the channels of an image."""
    return nn.Sequential(Permute(0, 2, 3, 1), nn.LayerNorm(c), Permute(0, 3, 1, 2))


def convnext_tiny() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 96, 4, 4), norm2d(96)]
    for i, depth in enumerate((3, 3, 9, 3)):
        c = 96 << i
        if i:
            layers += [norm2d(c // 2), nn.Conv2d(c // 2, c, 2, 2)]
        for _ in range(depth):
            body = nn.Sequential(
                nn.Conv2d(c, c, 7, padding=3, groups=c), Permute(0, 2, 3, 1), nn.LayerNorm(c),
                nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c), Permute(0, 3, 1, 2),
                LayerScale(c),
            )  # fmt: skip
            layers.append(summed(body, nn.Identity()))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), norm2d(768), *head(768, 1000))


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
        *head(800, 500, 10),
    )  # fmt: skip


def dcgan() -> nn.Module:
    layers: list[nn.Module] = []
    widths = (100, 512, 256, 128, 64)
    for i, (a, b) in enumerate(pairwise(widths)):
        s, p = (2, 1) if i else (1, 0)
        layers += [nn.ConvTranspose2d(a, b, 4, s, p, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def m5() -> nn.Module:
    layers: list[nn.Module] = []
    for a, b, k, s in ((1, 32, 80, 16), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        layers += [nn.Conv1d(a, b, k, s), nn.BatchNorm1d(b), nn.ReLU(), nn.MaxPool1d(4)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), *head(64, 35))


def c3d() -> nn.Module:
    layers: list[nn.Module] = []
    cin = 3
    for i, (c, depth) in enumerate(((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))):
        for _ in range(depth):
            layers += [nn.Conv3d(cin, c, 3, padding=1), nn.ReLU()]
            cin = c
        layers.append(nn.MaxPool3d(2 if i else (1, 2, 2), ceil_mode=True))
    return nn.Sequential(*layers, *head(512 * 16, 4096, 4096, 487))


def nin() -> nn.Module:
    layers: list[nn.Module] = []
    pools = nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(8)
    stages = ((3, 192, 5, 160, 96), (96, 192, 5, 192, 192), (192, 192, 3, 192, 10))
    for (a, b, k, c, d), pool in zip(stages, pools, strict=True):
        for conv in (nn.Conv2d(a, b, k, padding=k // 2), nn.Conv2d(b, c, 1), nn.Conv2d(c, d, 1)):
            layers += [conv, nn.ReLU()]
        layers.append(pool)
    return nn.Sequential(*layers)


def zfnet() -> nn.Module:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 96, 7, 2, 1), pool(), nn.Conv2d(96, 256, 5, 2), pool(),
        nn.Conv2d(256, 384, 3, padding=1), nn.Conv2d(384, 384, 3, padding=1),
        nn.Conv2d(384, 256, 3, padding=1), pool(), *head(256 * 36, 4096, 4096, 1000),
    )  # fmt: skip


class UNet(nn.Module):
    """Figure 1 of the paper, with two classes."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        ins = (1, *widths)
        self.down = nn.ModuleList(self.double(a, b) for a, b in zip(ins, widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in widths[-2::-1])
        self.join = nn.ModuleList(self.double(2 * c, c) for c in widths[-2::-1])
        self.classes = nn.Conv2d(64, 2, 1)

    @staticmethod
    def double(a: int, b: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(a, b, 3), nn.ReLU(), nn.Conv2d(b, b, 3), nn.ReLU())

    def forward(self, x: Any) -> Any:
        kept = []
        for i, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = up(x)
            cut = (skip.shape[2] - x.shape[2]) // 2
            end = skip.shape[2] - cut
            x = join(torch.cat([skip[:, :, cut:end, cut:end], x], 1))
        return self.classes(x)


def separable(cin: int, c: int) -> nn.Sequential:
    depthwise = nn.Conv2d(cin, cin, 3, padding=1, groups=cin, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(cin, c, 1, bias=False), nn.BatchNorm2d(c))


def xception() -> nn.Module:
    """Keras's; at sizes 147, 74, 37 and 19 its `same` pools take as many windows as pad 1."""

    def block(cin: int, middle: int, c: int) -> nn.Module:
        body = nn.Sequential(separable(cin, middle), separable(middle, c), nn.MaxPool2d(3, 2, 1))
        return summed(body, unit(cin, c, 1, 2, act=None))

    layers: list[nn.Module] = [*unit(3, 32, 3, 2, 0), *unit(32, 64, 3, 1, 0)]
    layers += [block(64, 128, 128), block(128, 256, 256), block(256, 728, 728)]
    for _ in range(8):
        layers.append(
            summed(nn.Sequential(*(separable(728, 728) for _ in range(3))), nn.Identity())
        )
    layers += [block(728, 728, 1024), separable(1024, 1536), separable(1536, 2048)]
    return nn.Sequential(*layers, *global_head(2048))


class Built(NamedTuple):
    """A maker of a module, and the input it takes (channels first, without the batch)."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 224, 224)


def ceil_pool(k: int, s: int) -> nn.Module:
    return nn.MaxPool2d(k, s, ceil_mode=True)


MODELS = {
    "alexnet": Built(lambda: alexnet((96, 256, 384, 384, 256)), (3, 227, 227)),
    "alexnet-original": Built(
        lambda: alexnet((96, 256, 384, 384, 256), 2, pool=ceil_pool), (3, 227, 227)
    ),
    "alexnet-torchvision": Built(lambda: alexnet((64, 192, 384, 256, 256), pad=2)),
    "c3d": Built(c3d, (3, 16, 112, 112)),
    "convnext_tiny": Built(convnext_tiny),
    "dcgan-generator": Built(dcgan, (100, 1, 1)),
    "densenet121": Built(lambda: densenet(32, 6, 12, 24, 16)),
    "efficientnet_b0": Built(efficientnet_b0),
    "lenet-caffe": Built(lenet, (1, 28, 28)),
    "m5-audio": Built(m5, (1, 8000)),
    "mobilenet_v1": Built(mobilenet_v1),
    "mobilenet_v2": Built(mobilenet_v2),
    "nin": Built(nin, (3, 32, 32)),
    "resnet18": Built(lambda: resnet(False, 2, 2, 2, 2)),
    "resnet34": Built(lambda: resnet(False, 3, 4, 6, 3)),
    "resnet50": Built(lambda: resnet(True, 3, 4, 6, 3)),
    "resnet101": Built(lambda: resnet(True, 3, 4, 23, 3)),
    "resnet152": Built(lambda: resnet(True, 3, 8, 36, 3)),
    "squeezenet1_0": Built(lambda: squeezenet(96, 7, (4, 8), 1), (3, 227, 227)),
    "squeezenet1_1": Built(lambda: squeezenet(64, 3, (3, 5), 0), (3, 227, 227)),
    "unet": Built(UNet, (1, 572, 572)),
    "vgg11": Built(lambda: vgg(1, 1, 2, 2, 2)),
    "vgg13": Built(lambda: vgg(2, 2, 2, 2, 2)),
    "vgg16": Built(lambda: vgg(2, 2, 3, 3, 3)),
    "vgg19": Built(lambda: vgg(2, 2, 4, 4, 4)),
    "xception": Built(xception, (3, 299, 299)),
    "zfnet": Built(zfnet),
}


class Count(NamedTuple):
    """What torch counts."""

    params: int
    buffers: int
    macs: int
    output: tuple[int, ...]
    sizes: list[int]  # of every parameter array, sorted


def count(name: str) -> Count:
    """Builds a network on the meta device and counts it by torch's own means."""
    built = MODELS[name]
    with torch.device("meta"):
        model = built.make().eval()
        x = torch.empty(1, *built.shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = model(x)
    # a scalar counter of batches is no running statistic
    buffers = sum(b.numel() for b in model.buffers() if b.ndim)
    sizes = sorted(p.numel() for p in model.parameters())
    macs = counter.get_total_flops() // 2
    return Count(sum(sizes), buffers, macs, tuple(y.shape[1:]), sizes)
