"""Weights out of codebooks as integers, and products that fetch a shared block once for two places."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.arrangement import Ints
from accelsim.schemes import CodebookScheme

FUSED_PAIR = 2


def decode(
    scheme: CodebookScheme, codebooks: NDArray[np.integer], indices: NDArray[np.integer], rows: int, cols: int
) -> Ints:
    """The integer weight (rows, cols) of codebooks (codebooks, entries, block values) and one index per block.

    Blocks are numbered along the columns first; block i chooses from codebook i // group. Raises
    ValueError for arrays of a wrong shape, an index beyond the entries or a value beyond `value_bits`.
    """
    _check(scheme, codebooks, indices, rows, cols)
    across = cols // scheme.block_cols
    weight = np.empty((rows, cols), np.int64)
    for block, index in enumerate(indices.tolist()):
        row, col = block // across * scheme.block_rows, block % across * scheme.block_cols
        entry = codebooks[_book(scheme, block), index].reshape(scheme.block_rows, scheme.block_cols)
        weight[row : row + scheme.block_rows, col : col + scheme.block_cols] = entry
    return weight


@dataclass(frozen=True)
class FusedProduct:
    """A product by tile fusion: outputs (m, rows), and what it took.

    `fetches` counts blocks read from codebooks, `multiplies` MACs, `adds` those of the pre-adder;
    `ifmap_bits` is the two's complement width that the inputs and their sums really needed.
    """

    outputs: Ints
    fetches: int
    multiplies: int
    adds: int
    ifmap_bits: int


def fused_product(
    scheme: CodebookScheme, codebooks: NDArray[np.integer], indices: NDArray[np.integer], ifmap: NDArray[np.integer]
) -> FusedProduct:
    """ifmap (m, cols) x W^T with (A0 + A1) x B for every two blocks B alike that feed the same outputs.

    The scale of an output channel is common to both, as the scheme has it (ISSCC 2026, 31.1, its tile
    fusion unit). Exact: equal to the product with `decode`. Raises ValueError as `decode` does.
    """
    cols = ifmap.shape[-1]
    across = cols // scheme.block_cols
    if ifmap.ndim != 2 or not across or len(indices) % across:
        raise ValueError(f"{len(indices)} blocks of {scheme.block_cols} columns do not cover an ifmap {ifmap.shape}")
    rows = len(indices) // across * scheme.block_rows
    _check(scheme, codebooks, indices, rows, cols)
    inputs = ifmap.astype(np.int64).reshape(len(ifmap), across, scheme.block_cols)
    outputs = np.zeros((len(ifmap), rows), np.int64)
    fetches = adds = 0
    lowest, highest = int(inputs.min(initial=0)), int(inputs.max(initial=0))
    for tile, pairs in enumerate(_pairs(scheme, indices, across)):
        channels = slice(tile * scheme.block_rows, (tile + 1) * scheme.block_rows)
        for book, index, places in pairs:
            summed = inputs[:, places[0]] if len(places) == 1 else inputs[:, places[0]] + inputs[:, places[1]]
            adds += (len(places) - 1) * summed.size
            lowest, highest = min(lowest, int(summed.min())), max(highest, int(summed.max()))
            entry = codebooks[book, index].astype(np.int64).reshape(scheme.block_rows, scheme.block_cols)
            outputs[:, channels] += summed @ entry.T
            fetches += 1
    multiplies = fetches * scheme.block_values * len(ifmap)
    bits = max(highest.bit_length(), (-lowest - 1).bit_length() if lowest else 0) + 1
    return FusedProduct(outputs, fetches, multiplies, adds, bits)


def _pairs(
    scheme: CodebookScheme, indices: NDArray[np.integer], across: int
) -> list[list[tuple[int, int, tuple[int, ...]]]]:
    """For every row of tiles: codebook, entry and the one or two places along the reduction that share a fetch."""
    found = []
    for first in range(0, len(indices), across):
        places: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place in range(across):
            places[_book(scheme, first + place), int(indices[first + place])].append(place)
        found.append(
            [
                (book, index, tuple(same[start : start + FUSED_PAIR]))
                for (book, index), same in places.items()
                for start in range(0, len(same), FUSED_PAIR)
            ]
        )
    return found


def _book(scheme: CodebookScheme, block: int) -> int:
    return 0 if scheme.group is None else block // scheme.group


def _check(
    scheme: CodebookScheme, codebooks: NDArray[np.integer], indices: NDArray[np.integer], rows: int, cols: int
) -> None:
    blocks, books = scheme.blocks(rows, cols), scheme.codebooks(rows, cols)
    if indices.shape != (blocks,) or codebooks.shape != (books, scheme.entries, scheme.block_values):
        raise ValueError(
            f"a {rows} x {cols} matrix has {blocks} indices and codebooks "
            f"{(books, scheme.entries, scheme.block_values)}, not {indices.shape} and {codebooks.shape}"
        )
    if indices.min() < 0 or indices.max() >= scheme.entries:
        raise ValueError(f"an index is outside 0..{scheme.entries - 1}")
    if np.abs(codebooks).max() > scheme.largest:
        raise ValueError(f"an entry's value is beyond +-{scheme.largest}")
