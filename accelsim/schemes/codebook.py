"""How a weight matrix is cut into blocks that share codebooks, and the bits that takes per value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

MAX_ENTRIES = 2**16
MAX_BLOCK = 2**20


@dataclass(frozen=True)
class CodebookScheme:
    """W[n, k] = scale[n] x entry[index of its block], the entries being blocks of integers.

    A block is `block_rows` output channels by `block_cols` reduction channels. Blocks are numbered
    along the reduction first; every `group` of them in that order (the last may be ragged) choose from
    one codebook of `entries` blocks, and None puts the whole matrix on one codebook. `value_bits` is
    the width of an entry's values, which saturate at +-(2^(value_bits - 1) - 1); `scale_bits` that of
    the scale of an output channel. Blocks of many values that share few entries are the block-level
    codebooks of the ReRAM-on-logic chip (ISSCC 2026, 31.1); 1 x 4 with 256 entries and no groups is
    classic vector quantisation. Raises ValueError for sizes out of range or more entries than blocks.
    """

    block_rows: int
    block_cols: int
    entries: int
    group: int | None = None
    value_bits: int = 4
    scale_bits: int = 16

    def __post_init__(self) -> None:
        for name in ("block_rows", "block_cols", "entries", "value_bits", "scale_bits"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"codebook {name} {getattr(self, name)!r} is not an integer")
        if self.block_rows < 1 or self.block_cols < 1 or self.block_values > MAX_BLOCK:
            raise ValueError(f"codebook block {self.block_rows} x {self.block_cols} is outside 1..{MAX_BLOCK} values")
        if not 1 <= self.entries <= MAX_ENTRIES:
            raise ValueError(f"codebook entries {self.entries} is outside 1..{MAX_ENTRIES}")
        if self.group is not None and (type(self.group) is not int or self.group < self.entries):
            raise ValueError(
                f"codebook group {self.group!r} is not a number of blocks from entries ({self.entries}) up"
            )
        if not 2 <= self.value_bits <= 8 or not 0 <= self.scale_bits <= 32:
            raise ValueError(f"codebook value_bits {self.value_bits} and scale_bits {self.scale_bits}: 2..8 and 0..32")

    @property
    def block_values(self) -> int:
        """Values of one block, and of one entry."""
        return self.block_rows * self.block_cols

    @property
    def index_bits(self) -> int:
        """Bits of one block's index; 0 for a single entry."""
        return (self.entries - 1).bit_length()

    @property
    def largest(self) -> int:
        """Largest magnitude of an entry's value."""
        return int(2 ** (self.value_bits - 1)) - 1

    def fits(self, rows: int, cols: int) -> bool:
        """Whether whole blocks cover a matrix of `rows` output and `cols` reduction channels."""
        return rows > 0 and cols > 0 and rows % self.block_rows == 0 and cols % self.block_cols == 0

    def blocks(self, rows: int, cols: int) -> int:
        """Blocks of a matrix; ValueError when whole blocks do not cover it."""
        if not self.fits(rows, cols):
            raise ValueError(f"blocks of {self.block_rows} x {self.block_cols} do not cover a {rows} x {cols} matrix")
        return rows * cols // self.block_values

    def codebooks(self, rows: int, cols: int) -> int:
        """Codebooks of a matrix; ValueError when whole blocks do not cover it."""
        return 1 if self.group is None else math.ceil(self.blocks(rows, cols) / self.group)

    def bits(self, rows: int, cols: int) -> CodebookBits:
        """What a matrix of this shape takes; ValueError when whole blocks do not cover it."""
        books = self.codebooks(rows, cols)
        return CodebookBits(
            values=rows * cols,
            codebook_bits=books * self.entries * self.block_values * self.value_bits,
            index_bits=self.blocks(rows, cols) * self.index_bits,
            scale_bits=rows * self.scale_bits,
        )

    def to_dict(self) -> dict[str, object]:
        """Plain numbers for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> CodebookScheme:
        """What `to_dict` made; ValueError for anything else."""
        names = ("block_rows", "block_cols", "entries", "group", "value_bits", "scale_bits")
        if set(data) != set(names):
            raise ValueError(f"a codebook scheme has the keys {sorted(names)}, not {sorted(data)}")
        group = data["group"]
        numbers = [number for name in names if name != "group" and type(number := data[name]) is int]
        if len(numbers) != 5 or not (group is None or type(group) is int):
            raise ValueError(f"a codebook scheme holds integers, not {dict(data)!r}")
        block_rows, block_cols, entries, value_bits, scale_bits = numbers
        return cls(block_rows, block_cols, entries, group, value_bits, scale_bits)


@dataclass(frozen=True)
class CodebookBits:
    """Storage of one or more codebook matrices, in bits, part by part."""

    values: int
    codebook_bits: int
    index_bits: int
    scale_bits: int

    @property
    def per_value(self) -> float:
        """Bits per weight with codebooks, indices and scales."""
        return (self.codebook_bits + self.index_bits + self.scale_bits) / self.values

    def __add__(self, other: CodebookBits) -> CodebookBits:
        return CodebookBits(
            self.values + other.values,
            self.codebook_bits + other.codebook_bits,
            self.index_bits + other.index_bits,
            self.scale_bits + other.scale_bits,
        )
