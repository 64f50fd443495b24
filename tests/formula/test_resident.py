"""Activations that a pass keeps on the chip: never more than there is room for, and none left out that had room."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.decoding.model import LanguageModel
from accelsim.decoding.passes.resident import Tiles, resident_tensors
from accelsim.decoding.passes.work import PassLowering
from accelsim.hardware.machine import build_machine
from accelsim.spec import load_arch
from accelsim.workload.chips import ChipTrace, split_over_chips
from accelsim.workload.template import load_template
from accelsim.workload.trace import Op, Oracle, Phase, Tensor, Trace, VectorDims

Links = list[tuple[int, list[int]]]
"""For each op the bits of its result, and which earlier results it reads."""


def trace_of(links: Links) -> Trace:
    tensors = tuple(Tensor(str(n), "activation", (bits,), 1) for n, (bits, _) in enumerate(links))
    ops = tuple(
        Op(n, str(n), "copy", VectorDims(1, bits), tuple(map(str, reads)), (str(n),), "copy", tuple(reads))
        for n, (bits, reads) in enumerate(links)
    )
    return Trace("made up", (), Oracle(None, "none"), tensors, (Phase("prefill", "prefill", 1, 0, 1, ops),))


@st.composite
def chains(draw: st.DrawFn) -> Links:
    count = draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(1, 20), min_size=count, max_size=count))
    earlier = [draw(st.lists(st.integers(0, n - 1), max_size=3, unique=True)) if n else [] for n in range(count)]
    return list(zip(sizes, earlier, strict=True))


def needed(links: Links, tiles: list[Tiles], kept: frozenset[str], now: int) -> int:
    """Bits at op `now`: what later ops (or this one) still read, its result or a tile of it, a tile of what streams."""
    bits, reads = links[now]
    waiting = [n for n in range(now) if str(n) in kept and any(n in later for _, later in links[now:])]
    streams = any(str(n) not in kept for n in reads)
    result = bits if str(now) in kept else tiles[now].outputs
    return sum(links[n][0] for n in waiting) + result + (tiles[now].inputs if streams else 0)


@st.composite
def tiled_chains(draw: st.DrawFn) -> tuple[Links, list[Tiles]]:
    """Tiles of any size, also larger than what they are of."""
    links = draw(chains())
    sizes = st.integers(0, 40)
    return links, [Tiles(draw(sizes) if reads else 0, draw(sizes)) for _, reads in links]


@settings(max_examples=300)
@given(tiled_chains(), st.integers(20, 90))
def test_there_is_room_for_what_is_kept_and_for_nothing_more(made: tuple[Links, list[Tiles]], room: int) -> None:
    links, tiles = made
    kept = resident_tensors(ChipTrace(trace_of(links), {}, {}), tiles, room)
    ops = range(len(links))
    alone = [needed(links, tiles, frozenset(), now) for now in ops]
    assert all(needed(links, tiles, kept, now) <= max(room, alone[now]) for now in ops)
    for name in map(str, ops):
        if name not in kept and max(alone) <= room:
            assert any(needed(links, tiles, kept | {name}, now) > room for now in ops), name


@given(chains())
def test_all_is_kept_where_there_is_room(links: Links) -> None:
    everything = sum(bits for bits, _ in links)
    tiles = [Tiles(bits, bits) for bits, _ in links]
    kept = resident_tensors(ChipTrace(trace_of(links), {}, {}), tiles, 2 * everything)
    assert kept == {str(n) for n in range(len(links))}


def test_what_lives_shortest_is_kept_first() -> None:
    """A result of 4 that waits for the last op makes room for two of 6 between, of 12 in all."""
    links: Links = [(4, []), (6, []), (6, [1]), (1, [2]), (1, [0, 3])]
    none = [Tiles(0, 0)] * len(links)
    assert resident_tensors(ChipTrace(trace_of(links), {}, {}), none, 12) == {"1", "2", "3", "4"}
    assert resident_tensors(ChipTrace(trace_of(links), {}, {}), none, 16) == {"0", "1", "2", "3", "4"}
    tile = [*none[:4], Tiles(12, 0)]  # of the last op's inputs one is not there, and its tile takes all the room
    assert resident_tensors(ChipTrace(trace_of(links), {}, {}), tile, 12) == {"1", "2"}


def test_a_copy_is_kept_whole_or_not_at_all() -> None:
    """Of what four chips gather, the whole has to fit; the chip's own part and the copy are one."""
    trace = load_template("llama_160m")
    part = split_over_chips(LanguageModel(trace).trace("verify", 8, 100), 4)
    name = next(name for name in part.copy_of if "down_proj" not in name)
    own = part.copy_of[name]
    tensors = part.trace.tensor_by_id()
    whole = tensors[name].elements * tensors[name].bits
    assert 4 * tensors[own].elements * tensors[own].bits == whole
    none = [Tiles(0, 0)] * len(part.trace.phases[0].ops)
    for room in (whole // 2, 100 * whole):
        kept = resident_tensors(part, none, room)
        assert (name in kept) == (own in kept) == (room > whole)


def test_what_is_read_from_dram_was_written_there() -> None:
    """A prompt that outgrows the buffers of four chips: no op reads an activation from DRAM that none has stored."""
    arch = load_arch("reram_logic_55nm_x4")
    lowering = PassLowering(build_machine(arch), arch)
    model = LanguageModel(load_template("llama_160m"))
    small, large = (lowering.of(model.trace("prefill", tokens, 0), "verify") for tokens in (8, 600))
    cache = sum("kv_append" in name for name in small.names)
    assert sum(op.stored_bits > 0 for op in small.ops) == cache
    assert sum(op.stored_bits > 0 for op in large.ops) > 1.5 * cache
    part = split_over_chips(model.trace("prefill", 600, 0), 4)
    tensors, (phase,) = part.trace.tensor_by_id(), part.trace.phases
    made_by = {name: place for place, op in enumerate(phase.ops) for name in op.outputs}
    made_by |= {copy: made_by[whole] for copy, whole in part.copy_of.items()}
    for op, cost in zip(phase.ops, large.ops, strict=True):
        if not isinstance(op.dims, VectorDims) or op.kind in ("kv_append", "gather"):
            continue
        read = [name for name in op.inputs if tensors[name].kind == "activation"]
        others = sum(tensors[name].elements * tensors[name].bits for name in op.inputs if name not in read)
        if cost.dram_bits > others + 8 * 64 * 64:  # more than gains and tables
            homes = [tensors[name].view_of or name for name in read]
            assert any(large.ops[made_by[name]].stored_bits for name in homes if name in made_by), op.name
