"""A linear layer whose weight is read out of codebooks, by hard indices or, in training, by relaxed ones."""

from __future__ import annotations

import torch

from accelsim.schemes import CodebookBits, CodebookScheme
from algos.block_vq.blocks import from_blocks, group_sizes, to_blocks
from algos.block_vq.kmeans import cluster, nearest_few
from algos.quantiser import SMALLEST, round_half_up

CLIP_RATIOS = tuple(1 - 0.05 * step for step in range(12))
CANDIDATES = 4
"""A block chooses among so many entries in training: the nearest ones of the weight that was fitted."""
CONFIDENCE = 4.0
"""How far apart the logits of the best and the second entry start in the mean over blocks, in nats.

So a draw takes another entry only where it is about as near, and the start of training is the fitted weight.
"""


class CodebookLinear(torch.nn.Module):
    """y = x W^T + b with W[n, k] = scale[n] x entry[index of its block].

    `codebook` (codebooks, entries, block values) holds the entries, in training as real numbers that are
    rounded half up with a straight-through gradient; `logits` decide which of a block's `candidates`, both
    (codebooks, group, up to 4 candidates), it takes: the largest in eval mode, a straight-through
    Gumbel-softmax draw at `temperature` in training (E. Jang et al., arXiv 1611.01144; `noise` scales what is
    drawn), so entries, indices and scales are learned jointly.
    """

    candidates: torch.Tensor

    def __init__(self, scheme: CodebookScheme, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.codebook_scheme = scheme
        self.out_features, self.in_features = linear.weight.shape
        self.temperature = self.noise = 1.0
        books = scheme.codebooks(self.out_features, self.in_features)
        group = scheme.blocks(self.out_features, self.in_features) if scheme.group is None else scheme.group
        options = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.codebook = torch.nn.Parameter(torch.zeros(books, scheme.entries, scheme.block_values, **options))
        shape = (books, group, min(CANDIDATES, scheme.entries))
        self.logits = torch.nn.Parameter(torch.zeros(shape, **options))
        self.register_buffer("candidates", torch.arange(shape[2], device=linear.weight.device).repeat(books, group, 1))
        self.scale = torch.nn.Parameter(torch.ones(self.out_features, **options))
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight(), self.bias)

    def weight(self) -> torch.Tensor:
        """W, (out, in); differentiable in training."""
        if not self.training:
            return self.integer_weight().to(self.scale.dtype) * self.scale[:, None]
        entries = round_half_up(self.codebook.clamp(-self.codebook_scheme.largest, self.codebook_scheme.largest))
        drawn = self.logits
        if self.noise:
            drawn = drawn - self.noise * torch.empty_like(drawn).exponential_().clamp_min(SMALLEST).log()
        blocks = _Choice.apply(torch.softmax(drawn / self.temperature, -1), entries, self.candidates)
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
        return _chosen(self.logits.detach(), self.candidates)

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
            distances, near = nearest_few(points, importance / unit, found.centres, self.logits.shape[-1])
            self.candidates.copy_(near)
            if distances.shape[-1] > 1:
                behind = distances - distances[..., :1]
                second = (behind[..., 1] * real).sum() / real.sum()
                self.logits.copy_(-CONFIDENCE / second.clamp_min(SMALLEST) * behind)
        return float(found.error * unit / weight.numel())


def _chosen(preferences: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    return candidates.gather(-1, preferences.argmax(-1, keepdim=True))[..., 0]


class _Choice(torch.autograd.Function):
    """The preferred candidate of every block, with the gradient of the mean over candidates that preferences weight.

    preferences, candidates (codebooks, group, candidates); entries (codebooks, entries, values).
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        preferences: torch.Tensor,
        entries: torch.Tensor,
        candidates: torch.Tensor,
    ) -> torch.Tensor:
        index = _chosen(preferences, candidates)
        ctx.save_for_backward(entries, candidates, index)
        return entries.gather(1, index[..., None].expand(-1, -1, entries.shape[2]))

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        entries, candidates, index = ctx.saved_tensors
        (gradient,) = gradients
        first = torch.arange(len(entries), device=entries.device)[:, None, None] * entries.shape[1]
        could = torch.nn.functional.embedding(candidates + first, entries.flatten(0, 1))
        to_entries = torch.zeros_like(entries).scatter_add_(1, index[..., None].expand_as(gradient), gradient)
        return (could @ gradient[..., None])[..., 0], to_entries, None


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
