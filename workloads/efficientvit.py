"""EfficientViT-B1, which no installable package defines without torchvision.

From "EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction" (Cai et al.,
ICCV 2023) and the layer lists its authors published. Their figures, which the tests hold this file
to: 9.1 M parameters and 0.52 GMAC with the classification head at 224 x 224; 4.8 M parameters and
3.1 GMAC with the ADE20K segmentation head at 512 x 512. Attention is the linear one at every size.
"""

from __future__ import annotations

import torch
from torch import nn

WIDTHS = (16, 32, 64, 128, 256)
DEPTHS = (1, 2, 3, 3, 4)
HEAD_DIM = 16
EXPAND = 4
AGGREGATION_KERNEL = 5
HEAD_WIDTH, HEAD_DEPTH = 64, 3
ADE20K_CLASSES = 150
CLASSIFIER_WIDTHS = (1536, 1600)
IMAGENET_CLASSES = 1000
STEP = 32
"""Input heights and widths are multiples of this: the last stage sees 1 / 32 of them."""


def conv(
    inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, norm: bool = True, act: bool = True
) -> nn.Sequential:
    """A convolution (n, inputs, h, w) -> (n, outputs, h / stride, w / stride), then batch norm or a bias, hswish."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=not norm),
    ]
    layers += [nn.BatchNorm2d(outputs)] if norm else []
    layers += [nn.Hardswish()] if act else []
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """`main(x) + x`, for a main that keeps the shape."""

    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.main(x) + x
        return result


def separable(width: int) -> nn.Module:
    """A depthwise and a pointwise convolution with a skip: (n, width, h, w) -> the same."""
    return Residual(nn.Sequential(conv(width, width, 3, groups=width), conv(width, width, act=False)))


def bottleneck(inputs: int, outputs: int, *, stride: int = 1, norm: bool = True) -> nn.Module:
    """Expand, depthwise, project: (n, inputs, h, w) -> (n, outputs, h / stride, w / stride).

    `norm` says whether the first two convolutions have a batch norm; the last one always has.
    """
    middle = EXPAND * inputs
    return nn.Sequential(
        conv(inputs, middle, norm=norm),
        conv(middle, middle, 3, stride=stride, groups=middle, norm=norm),
        conv(middle, outputs, norm=True, act=False),
    )


class LinearAttention(nn.Module):
    """ReLU linear attention over queries, keys and values at two scales: (n, width, h, w) -> the same.

    A row of ones below the values makes the second product carry the normaliser along.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = width // HEAD_DIM
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.aggregate = nn.Sequential(
            nn.Conv2d(
                3 * width, 3 * width, AGGREGATION_KERNEL, padding="same", groups=3 * width, bias=False,
            ),
            nn.Conv2d(3 * width, 3 * width, 1, groups=3 * heads, bias=False),
        )  # fmt: skip
        self.project = conv(2 * width, width, act=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        one = self.qkv(x)
        both = torch.cat((one, self.aggregate(one)), 1).reshape(n, -1, 3 * HEAD_DIM, h * w)
        query, key, value = both.split(HEAD_DIM, 2)
        query, key = torch.relu(query), torch.relu(key)
        value = nn.functional.pad(value, (0, 0, 0, 1), value=1.0)
        mixed = torch.matmul(torch.matmul(value, key.mT), query)
        mixed = mixed[:, :, :-1] / (mixed[:, :, -1:] + 1e-15)
        result: torch.Tensor = self.project(mixed.reshape(n, -1, h, w))
        return result


class Backbone(nn.Module):
    """(n, 3, h, w) -> the features of the last three stages, at 1/8, 1/16 and 1/32 of the size."""

    def __init__(self) -> None:
        super().__init__()
        stem = [conv(3, WIDTHS[0], 3, stride=2), *(separable(WIDTHS[0]) for _ in range(DEPTHS[0]))]
        self.stem = nn.Sequential(*stem)
        self.stages = nn.ModuleList(self._stage(number) for number in range(1, len(WIDTHS)))

    @staticmethod
    def _stage(number: int) -> nn.Sequential:
        inputs, width, depth = WIDTHS[number - 1], WIDTHS[number], DEPTHS[number]
        if number < 3:
            blocks = [Residual(bottleneck(width, width)) for _ in range(depth - 1)]
            return nn.Sequential(bottleneck(inputs, width, stride=2), *blocks)
        pairs = [(LinearAttention(width), bottleneck(width, width, norm=False)) for _ in range(depth)]
        attention = [Residual(part) for pair in pairs for part in pair]
        return nn.Sequential(bottleneck(inputs, width, stride=2, norm=False), *attention)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        features = [self.stem(image)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[2:]


class Segmentation(nn.Module):
    """The ADE20K model: (n, 3, h, w) -> (n, 150, h / 8, w / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.inputs = nn.ModuleList(conv(width, HEAD_WIDTH, act=False) for width in WIDTHS[2:])
        self.upsample = nn.ModuleList(
            nn.Upsample(scale_factor=factor, mode="bicubic") if factor > 1 else nn.Identity() for factor in (1, 2, 4)
        )
        self.middle = nn.Sequential(*(Residual(bottleneck(HEAD_WIDTH, HEAD_WIDTH)) for _ in range(HEAD_DEPTH)))
        self.classify = nn.Conv2d(HEAD_WIDTH, ADE20K_CLASSES, 1)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        near, middle, far = (
            upsample(adapt(feature))
            for feature, adapt, upsample in zip(self.backbone(pixel_values), self.inputs, self.upsample, strict=True)
        )
        result: torch.Tensor = self.classify(self.middle(near + middle + far))
        return result


class Classification(nn.Module):
    """The ImageNet model: (n, 3, h, w) -> (n, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        wide, wider = CLASSIFIER_WIDTHS
        self.backbone = Backbone()
        self.widen = conv(WIDTHS[-1], wide)
        self.hidden = nn.Sequential(nn.Linear(wide, wider, bias=False), nn.LayerNorm(wider), nn.Hardswish())
        self.classify = nn.Linear(wider, IMAGENET_CLASSES)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        pooled = self.widen(self.backbone(pixel_values)[-1]).mean((2, 3))
        result: torch.Tensor = self.classify(self.hidden(pooled))
        return result
