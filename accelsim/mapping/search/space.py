"""The numbers that the kernels pass each other, as records: one pointer each, whatever they hold.

Operands are rows 0, 1, 2 (ifmap, weight, output). A prefix p of a nest is its first p loops.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Record = NDArray[np.void]
"""One record of the dtype named, in an array of one."""

MAX_DIMS = 8
MAX_MEMORIES = 6
MAX_LEVELS = 3
"""On-chip memories that one operand may pass."""
MAX_LOOPS = 24
MAX_PER_DIM = 5
MAX_CLASSES = 32
MAX_TILES = 4096
MAX_PLACES = 512
_PREFIXES = MAX_LOOPS + 1
_I, _F, _B = np.int64, np.float64, np.int8  # nested records hold no np.bool_

TABLES = np.dtype(
    [
        ("dims", _I),
        ("memories", _I),
        ("extents", _I, (MAX_DIMS,)),
        ("widths", _I, (MAX_DIMS,)),  # indices of each dim that the array takes at once
        ("pieces", _I, (MAX_DIMS,)),  # of that width
        ("relevant", _B, (3, MAX_DIMS)),
        ("values", _I, (3,)),  # elements of each operand
        ("overlaps", _B),  # a conv's input tiles share elements
        ("levels", _I, (3,)),  # memories of each operand's chain, outermost first
        ("memory", _I, (3, MAX_LEVELS)),  # number of the memory in Machine.memories
        ("per_word", _I, (3, MAX_LEVELS)),  # values per word (finished ones of the output); negative: words per value
        ("psum_per_word", _I, (MAX_LEVELS,)),
        ("bias_per_word", _I, (MAX_LEVELS,)),
        (
            "room",
            _I,
            (3, 2),
        ),  # values of the largest tile that fits: alone or twice (inputs); finished or stored (output)
        ("read_pj", _F, (3, MAX_LEVELS)),  # energy of a word
        ("write_pj", _F, (3, MAX_LEVELS)),
        ("word_bits", _I, (MAX_MEMORIES,)),
        ("capacity_bits", _I, (MAX_MEMORIES,)),
        ("read_rate", _F, (MAX_MEMORIES,)),  # words per cycle
        ("write_rate", _F, (MAX_MEMORIES,)),
        ("bits", _I, (4,)),  # of ifmap, weight, ofmap, stored psum, per so many values of the first three:
        ("bits_of", _I, (3,)),  # 1 unless values share what is stored
        ("burst_bits", _I),
        ("dram_pj_per_bit", _F),
        ("dram_fs_per_bit", _F),
        ("dram_latency_fs", _F),
        ("period_fs", _F),
        ("fixed_pj", _F),  # what no mapping changes: the MACs
        ("leakage_pj_per_fs", _F),
        ("requantise_pj", _F),
        ("dequantise_pj", _F),
        ("engine_rate", _F),  # psums requantised in a cycle; 0 without APSQ
        ("group_size", _I),
        ("k_tile_visits", _I),  # visits of the accumulator that a scheme's k_tile asks for; 0 any, -1 impossible
        ("pipeline_cycles", _I),  # adder tree: paid once per array instruction
        ("stationary", _I),  # systolic: the operand that stays; -1 for an adder tree
        ("row", _I),  # systolic: dim on the rows, -1 if it has one index; column likewise
        ("column", _I),
        ("rows", _I),
        ("cols", _I),
        ("load_cycles", _I),  # systolic: what a full fold's load adds
        ("trimmed", _B),
        ("bypass", _B),  # outputs that come back go past their buffer
        ("bias", _I, (2,)),  # values and bits
        ("bias_dims", _B, (MAX_DIMS,)),  # dims that select a bias
        ("restart", _B, (MAX_DIMS,)),  # dims whose chunks each start with the bias
    ]
)

WORK = np.dtype(  # scratch: chunk classes by (dim, loops taken, class), and tile kinds being put together
    [
        *((name, _I, (MAX_DIMS, MAX_PER_DIM, MAX_CLASSES)) for name in ("size", "cut", "count")),
        *((name, _I, (MAX_DIMS, MAX_PER_DIM)) for name in ("number", "pieces")),
        ("trips", _I, (_PREFIXES,)),
        *((name, _I, (MAX_TILES,)) for name in ("values", "cuts", "tiles", "visits", "row_size", "col_size")),
    ]
)

COUNTS = np.dtype(  # what one nest moves, by prefix
    [
        ("depth", _I, (_PREFIXES, MAX_DIMS)),  # loops of each dim
        ("steps", _I, (_PREFIXES,)),  # iterations
        ("largest", _I, (3, _PREFIXES)),  # values of the largest tile
        ("tiles", _I, (3, _PREFIXES)),
        ("moved", _I, (3, _PREFIXES)),  # DRAM bits of all fetches; of outputs, of finished tiles
        ("words", _I, (3, MAX_LEVELS, _PREFIXES)),  # memory words of the same
        ("psum_moved", _I, (_PREFIXES,)),  # DRAM bits of every visit of an output tile but the last
        ("psum_words", _I, (MAX_LEVELS, _PREFIXES)),
        ("visits", _I, (_PREFIXES,)),  # most visits of an output tile
        ("again", _I, (_PREFIXES,)),  # output values of every visit but the last
        ("stores", _I, (_PREFIXES,)),  # output values of every visit, of tiles visited more than once
        ("fold_cycles", _I),  # of a systolic array
        ("bias_reads", _I, (MAX_LEVELS,)),  # words read to start every output tile of the array
    ]
)

PLACES = np.dtype(  # ways to store each operand
    [
        ("number", _I, (3,)),
        ("left_out", _B),  # some had no room here
        ("energy_pj", _F, (3, MAX_PLACES)),
        ("dram_bits", _I, (3, MAX_PLACES)),
        ("edge_bits", _I, (3, MAX_PLACES)),  # of the tile that nothing overlaps
        ("drain_bits", _I, (3, MAX_PLACES)),  # the same where there is one slot for outputs
        ("depth", _I, (3, MAX_PLACES)),  # loops above the innermost memory
        ("need_bits", _I, (3, MAX_PLACES, MAX_MEMORIES)),
        ("read_cycles", _F, (3, MAX_PLACES, MAX_MEMORIES)),
        ("write_cycles", _F, (3, MAX_PLACES, MAX_MEMORIES)),
        ("position", _I, (3, MAX_PLACES, MAX_LEVELS)),  # loops above each memory; -1: passed by
        ("outermost", _I, (3, MAX_PLACES)),  # the memory next to DRAM; -1 none
    ]
)

BEST = np.dtype(  # the best mapping so far
    [
        ("score", _F, (2,)),  # objective and second metric
        ("energy_pj", _F),
        ("latency_fs", _F),
        ("loops", _I),
        ("loop_dim", _I, (MAX_LOOPS,)),
        ("loop_step", _I, (MAX_LOOPS,)),
        ("position", _I, (3, MAX_LEVELS)),
        ("looks", _I),  # nests whose bound was worked out
        ("mappings", _I),  # counted
    ]
)

CELL = np.dtype([("trips", _I, (MAX_DIMS,)), ("order", _I), ("bound", _F), ("base_pj", _F)])

WALK = np.dtype(  # the loops and sizes whose bound is asked, and where the walk over cells stands (see `branch`)
    [
        ("objective", _I),
        ("below", _F),  # bounds from here on are cut
        ("number", _I),  # cells listed
        ("nodes", _I),  # of all walks together
        ("most_nodes", _I),
        ("prices", _F, (3, 2)),
        ("once_pj", _F),
        ("cycles", _F),
        ("floor_pj", _F),
        ("order", _I),  # number of the loops' order, whose first loops are the batch's
        ("first", _I),
        ("size", _I),
        ("outer", _I, (MAX_DIMS,)),
        ("start", _I, (MAX_DIMS,)),  # of each loop's trips, those looked at
        ("end", _I, (MAX_DIMS,)),
        ("index", _I, (MAX_DIMS,)),
        ("trips", _I, (MAX_DIMS,)),
        ("low", _I, (MAX_DIMS,)),  # smallest tile with so many trips
        ("pieces", _I, (MAX_DIMS,)),  # least array pieces with so many
        ("ragged", _B, (MAX_DIMS,)),
        ("position", _I, (3,)),
        ("outside", _F, (4,)),  # see `bound.outer_fetches`
    ]
)

HALO = np.dtype(  # a conv's input tiles for every number of loops of its two joint dims (see `mapping.halo`)
    [
        ("row", _I),  # the joint dims; -1 where tiles do not overlap
        ("red", _I),
        (
            "first",
            _I,
            (MAX_PER_DIM * MAX_PER_DIM + 1,),
        ),  # kinds of tile below a loops of row, b of red: a x MAX_PER_DIM + b
        *((name, _I, (MAX_TILES,)) for name in ("values", "row_cut", "red_cut", "count")),
    ]
)

SCRATCH = np.dtype([("work", WORK), ("counts", COUNTS), ("places", PLACES)])


def no_best() -> Record:
    """Nothing found yet."""
    best = np.zeros(1, BEST)
    best["score"] = np.inf
    return best
