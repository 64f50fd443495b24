"""Bits of codebook schemes against counts by hand."""

from __future__ import annotations

import pytest

from accelsim.schemes import CodebookScheme


def test_chip_setting_is_two_bits_per_value():
    """8 blocks share 4 INT4 entries: 4 b x 4 / 8, the index one two-bit number per 256 values, scales apart."""
    bits = CodebookScheme(16, 16, entries=4, group=8, scale_bits=0).bits(768, 768)
    assert bits.codebook_bits == 768 * 768 * 2
    assert bits.index_bits == 2304 * 2
    assert bits.per_value == 2 + 2 / 256


def test_classic_quantisation():
    """256 entries of 4 INT8 values for a 768 x 768 matrix: 2 bits of index a value, 8192 bits of codebook."""
    bits = CodebookScheme(1, 4, entries=256, value_bits=8).bits(768, 768)
    assert (bits.values, bits.codebook_bits, bits.index_bits, bits.scale_bits) == (589824, 8192, 1179648, 12288)
    assert bits.per_value == (8192 + 1179648 + 12288) / 589824


def test_a_ragged_group_has_a_whole_codebook():
    scheme = CodebookScheme(2, 2, entries=3, group=4)
    assert scheme.index_bits == 2
    assert scheme.codebooks(2, 10) == 2
    assert scheme.bits(2, 10).codebook_bits == 2 * 3 * 4 * 4
    total = scheme.bits(2, 10) + scheme.bits(2, 8)
    assert (total.values, total.codebook_bits) == (36, 3 * 3 * 4 * 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"block_rows": 0},
        {"block_cols": 2**21},
        {"entries": 0},
        {"group": 3},
        {"value_bits": 1},
        {"scale_bits": 33},
        {"entries": 2.0},
    ],
)
def test_impossible_schemes(fields):
    with pytest.raises(ValueError, match="codebook"):
        CodebookScheme(**({"block_rows": 4, "block_cols": 4, "entries": 4, "group": 8} | fields))


def test_blocks_that_do_not_cover():
    assert not CodebookScheme(4, 4, 2).fits(6, 8)
    with pytest.raises(ValueError, match="do not cover a 6 x 8 matrix"):
        CodebookScheme(4, 4, 2).bits(6, 8)


def test_dictionaries_come_back():
    scheme = CodebookScheme(4, 8, 4, 8)
    assert CodebookScheme.from_dict(scheme.to_dict()) == scheme
    with pytest.raises(ValueError, match="integers"):
        CodebookScheme.from_dict(scheme.to_dict() | {"entries": "4"})
    with pytest.raises(ValueError, match="keys"):
        CodebookScheme.from_dict({})
