"""A weight matrix cut into blocks, block by codebook, and put together again."""

from __future__ import annotations

import torch

from accelsim.schemes import CodebookScheme


def to_blocks(weight: torch.Tensor, scheme: CodebookScheme) -> torch.Tensor:
    """(rows, cols) to (codebooks, blocks of a group, values of a block); a ragged last group ends in zero blocks."""
    rows, cols = weight.shape
    tiles = weight.unflatten(0, (-1, scheme.block_rows)).unflatten(2, (-1, scheme.block_cols))
    blocks = tiles.transpose(1, 2).flatten(0, 1).flatten(1)
    books = scheme.codebooks(rows, cols)
    group = len(blocks) if scheme.group is None else scheme.group
    missing = books * group - len(blocks)
    return torch.nn.functional.pad(blocks, (0, 0, 0, missing)).unflatten(0, (books, group))


def from_blocks(blocks: torch.Tensor, scheme: CodebookScheme, rows: int, cols: int) -> torch.Tensor:
    """What `to_blocks` took apart."""
    count = scheme.blocks(rows, cols)
    tiles = blocks.flatten(0, 1)[:count].unflatten(1, (scheme.block_rows, scheme.block_cols))
    return tiles.unflatten(0, (rows // scheme.block_rows, -1)).transpose(1, 2).reshape(rows, cols)


def group_sizes(scheme: CodebookScheme, rows: int, cols: int) -> torch.Tensor:
    """Blocks that each codebook really has, shape (codebooks,)."""
    blocks, books = scheme.blocks(rows, cols), scheme.codebooks(rows, cols)
    sizes = torch.full((books,), blocks if scheme.group is None else scheme.group)
    sizes[-1] = blocks - int(sizes[:-1].sum())
    return sizes
