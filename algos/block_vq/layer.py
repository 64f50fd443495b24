"""A linear layer whose weight is read out of codebooks, by hard indices or, in training, by relaxed ones."""

from __future__ import annotations

import math

import torch

from accelsim.schemes import CodebookBits, CodebookScheme
from algos.block_vq.blocks import from_blocks, group_sizes, to_blocks
from algos.block_vq.kmeans import cluster, scores
from algos.quantiser import round_half_up

CLIP_RATIOS = tuple(1 - 0.05 * step for step in range(12))
CONFIDENCE = 4.0
"""How far apart the logits of the best and the mean entry start, beyond log(entries)."""


class CodebookLinear(torch.nn.Module):
    """y = x W^T + b with W[n, k] = scale[n] x entry[index of its block].

    `codebook` (codebooks, entries, block values) holds the entries, in training as real numbers that are
    rounded half up with a straight-through gradient; `logits` (codebooks, group, entries) decide the
    indices: the largest in eval mode, a straight-through Gumbel-softmax draw at `temperature` in training
    (E. Jang et al., arXiv 1611.01144), so entries, indices and scales are learned jointly.
    """

    def __init__(self, scheme: CodebookScheme, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.codebook_scheme = scheme
        self.out_features, self.in_features = linear.weight.shape
        self.temperature = 1.0
        books = scheme.codebooks(self.out_features, self.in_features)
        group = scheme.blocks(self.out_features, self.in_features) if scheme.group is None else scheme.group
        options = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.codebook = torch.nn.Parameter(torch.zeros(books, scheme.entries, scheme.block_values, **options))
        self.logits = torch.nn.Parameter(torch.zeros(books, group, scheme.entries, **options))
        self.scale = torch.nn.Parameter(torch.ones(self.out_features, **options))
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight(), self.bias)

    def weight(self) -> torch.Tensor:
        """W, (out, in); differentiable in training."""
        if not self.training:
            return self.integer_weight().to(self.scale.dtype) * self.scale[:, None]
        entries = round_half_up(self.codebook.clamp(-self.codebook_scheme.largest, self.codebook_scheme.largest))
        chosen = torch.nn.functional.gumbel_softmax(self.logits, tau=self.temperature, hard=True)
        blocks = chosen @ entries
        return from_blocks(blocks, self.codebook_scheme, self.out_features, self.in_features) * self.scale[:, None]

    def integer_weight(self) -> torch.Tensor:
        """The integers that the codebooks stand for, (out, in), int64."""
        index = self.indices[..., None].expand(-1, -1, self.codebook_scheme.block_values)
        blocks = self.integer_codebook().gather(1, index)
        return from_blocks(blocks, self.codebook_scheme, self.out_features, self.in_features)

    def integer_codebook(self) -> torch.Tensor:
        """Entries as stored, (codebooks, entries, block values), int64."""
        limit = self.codebook_scheme.largest
        return torch.floor(self.codebook.detach() + 0.5).clamp(-limit, limit).long()

    @property
    def indices(self) -> torch.Tensor:
        """Entry of every block, (codebooks, group); a ragged last group ends in indices that nothing reads."""
        return self.logits.detach().argmax(-1)

    @property
    def bits(self) -> CodebookBits:
        """Storage with codebooks, indices and scales; the bias is apart."""
        return self.codebook_scheme.bits(self.out_features, self.in_features)

    def fit_(self, weight: torch.Tensor, second_moment: torch.Tensor | None, *, seed: int = 0) -> float:
        """Codebooks, indices and scales nearest to a weight (out, in) by weighted k-means; the error per weight.

        The error of a weight counts with E[x^2] of its input channel (`second_moment`, (in,); None: all
        alike). A scale is the one of 12 clips of its row's largest magnitude that rounding loses least with.
        """
        scheme = self.codebook_scheme
        weight = weight.detach().to(self.scale.dtype)
        moment = torch.ones_like(weight[0]) if second_moment is None else second_moment.to(weight)
        moment = moment / moment.mean().clamp_min(1e-30) + 1e-6
        scale = row_scales(weight, moment, scheme.largest)
        points = to_blocks(weight / scale[:, None], scheme)
        importance = to_blocks(scale.square()[:, None] * moment, scheme)
        unit = importance.mean().clamp_min(1e-30)
        sizes = group_sizes(scheme, *weight.shape).to(weight.device)
        real = torch.arange(points.shape[1], device=weight.device) < sizes[:, None]
        importance = importance * real[..., None]
        found = cluster(points, importance / unit, scheme.entries, scheme.largest, seed=seed)
        with torch.no_grad():
            self.codebook.copy_(found.centres)
            self.scale.copy_(scale)
            distances = scores(points, importance / unit, found.centres)
            spread = (distances.mean(-1, keepdim=True) - distances.amin(-1, keepdim=True)).clamp_min(1e-12)
            sure = CONFIDENCE + math.log(scheme.entries)
            self.logits.copy_(sure * (distances.amin(-1, keepdim=True) - distances) / spread)
        return float(found.error * unit / weight.numel())


def row_scales(weight: torch.Tensor, moment: torch.Tensor, largest: int) -> torch.Tensor:
    """The scale of each row, (out,), whose rounding to integers within +-largest loses least."""
    most = weight.abs().amax(1).clamp_min(1e-12) / largest
    best, least = most, torch.full_like(most, torch.inf)
    for ratio in CLIP_RATIOS:
        scale = most * ratio
        rounded = torch.floor(weight / scale[:, None] + 0.5).clamp(-largest, largest) * scale[:, None]
        error = ((rounded - weight).square() * moment).sum(1)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best
