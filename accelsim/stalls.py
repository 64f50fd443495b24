"""Why an op took longer than its compute unit needed: every cycle beyond `compute_cycles`, by reason.

    dram         waiting for data, or at the end for the last results to leave: bandwidth and latency
    reram        waiting for a weight out of the stacked memory (only in ops that have one there)
    array busy   waiting for data whose transfer had to wait until computation (or a transfer towards it)
                 gave back a slot (the vector units' slots, in an op without MACs): a further slot would save this time
    buffer port  an instruction that lasts longer than its own compute cycles, since a buffer's port (or
                 the psum engine) needs longer, or waiting for data on its way from one memory to the
                 next; the model has ports, not banks, so no bank conflicts
    dependency   waiting for a slot that a store has yet to give back, for psums that must be stored
                 before they can be loaded again, or, in a fused group, for the vector units

A wait for data that arrives late is split by what its transfer did before it started: the part in
which nothing but a slot kept it from starting is the slot's, the rest is the DRAM's. Between several
memories only the last transfer of the way and the one before it are asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.engine.engine import Stall, Timeline

REASONS = ("dram", "array busy", "buffer port", "dependency")
COMPUTE = ("array", "units")
"""Resources that compute; a program has one of them."""

DRAM, RERAM = "dram", "reram"
OUTWARDS = ("store", "move_output", "move_out_")
"""How the names of queues begin that take results away from the compute unit."""

Stalls = tuple[tuple[str, int], ...]
NO_STALLS: Stalls = tuple((reason, 0) for reason in REASONS)


def stalls_fs(timeline: Timeline, compute_fs: int) -> Stalls:
    """Femtoseconds of the makespan beyond `compute_fs` for each of REASONS."""
    unit = next(use for use in timeline.resources if use.name in COMPUTE)
    stacked = {use.name for use in timeline.resources} & {RERAM}
    waited = dict.fromkeys((*REASONS, *stacked), 0)
    waited["buffer port"] = unit.busy_fs - compute_fs
    waited["dram"] = unit.idle_fs
    for stall in timeline.stalls:
        if stall.resource == unit.name:
            waited[_reason(stall, timeline)] += stall.waited_fs
    return tuple(waited.items())


def _reason(stall: Stall, timeline: Timeline) -> str:
    """Who waits, the compute unit or a transfer for it, and for a slot or for data, decides."""
    queues = {queue.name: queue for queue in timeline.program.queues}
    channel = next((channel for channel in timeline.program.channels if channel.name == stall.channel), None)
    if channel is None:
        return "dependency"
    computes = {name for name, queue in queues.items() if set(queue.resources) & set(COMPUTE)}
    if stall.queue in computes and (channel.credits or channel.producer in computes):
        return "dependency"
    if channel.producer.startswith(OUTWARDS) or (channel.producer in computes and not channel.credits):
        return "dependency"
    if channel.credits:
        return "array busy"
    stores = [name for name in (DRAM, RERAM) if name in queues[channel.producer].resources]
    return stores[0] if stores else "buffer port"


def extrapolated(last: Stalls, before: Stalls, times: int) -> Stalls:
    """`last` and `times` times what it has more than `before`; where a reason would fall below nothing, all
    reasons in the proportions of `last`."""
    more = [(reason, fs + times * (fs - less)) for (reason, fs), (_, less) in zip(last, before, strict=True)]
    if min(fs for _, fs in more) >= 0:
        return tuple(more)
    return apportioned(last, sum(fs for _, fs in more))


def apportioned(parts: Stalls, whole: int) -> Stalls:
    """`whole` in the proportions of `parts`, in whole numbers that sum to it: largest remainders go up first."""
    total = sum(size for _, size in parts)
    if not total:
        return ((parts[0][0], whole), *((reason, 0) for reason, _ in parts[1:]))
    shares = [divmod(size * whole, total) for _, size in parts]
    left = whole - sum(share for share, _ in shares)
    up = set(_largest([rest for _, rest in shares])[:left])
    return tuple(
        (reason, share + (i in up)) for i, ((reason, _), (share, _)) in enumerate(zip(parts, shares, strict=True))
    )


def _largest(numbers: Sequence[int]) -> list[int]:
    return sorted(range(len(numbers)), key=lambda i: (-numbers[i], i))
