"""Why a prediction misses, as far as the published numbers themselves tell, and what was assumed."""

from __future__ import annotations

from accelsim.hardware.machine import build_machine
from accelsim.reproduce.reram_chip.chip import Head, WorkingPoint
from accelsim.reproduce.reram_chip.decode import OUTPUT, PROMPT
from accelsim.reproduce.reram_chip.published import PublishedPair

FS_PER_NS = 10**6
WORTH_A_WORD = 0.03
"""Deviations from here on get a cause."""


def cause_of(pair: PublishedPair, metric: str, deviation: float, fitted: PublishedPair, own_acceptance: bool) -> str:
    """The likely cause of a prediction's deviation; nothing for a small one."""
    if abs(deviation) < WORTH_A_WORD:
        return ""
    if metric in ("speedup", "saving"):
        return (
            "of the base, draft length, tokens a pass and 16-bit MACs are not published: taken as many tokens a pass "
            "as with parallel drafting, and four 8-bit multipliers a MAC"
        )
    if not own_acceptance:
        return f"the acceptance and draft lengths of {fitted.target}"
    here, there = (_dram_gb_per_s(each) for each in (pair, fitted))
    if metric == "tokens_per_s":
        return f"published bytes x speed imply {here:.2f} GB/s of DRAM here and {there:.2f} on the fitted pair"
    return (
        f"published power is {_watts(pair):.2f} W here and {_watts(fitted):.2f} W on the fitted pair; static power and "
        "the split between DRAM and logic are not published"
    )


def _dram_gb_per_s(pair: PublishedPair) -> float:
    return pair.numbers["dram_mb_per_token"].value * pair.numbers["tokens_per_s"].value / 1e3


def _watts(pair: PublishedPair) -> float:
    return pair.numbers["mj_per_token"].value * pair.numbers["tokens_per_s"].value / 1e3


def roofline(pair: PublishedPair, fitted: PublishedPair) -> tuple[float, float]:
    """Deviations of tokens/s and mJ/token of no model at all: the published bytes at the fitted pair's bandwidth and
    power. What a prediction is worth beyond its inputs is what it misses less than this."""
    speed = 1e3 * _dram_gb_per_s(fitted) / pair.numbers["dram_mb_per_token"].value
    energy = 1e3 * _watts(fitted) / speed
    return speed / pair.numbers["tokens_per_s"].value - 1, energy / pair.numbers["mj_per_token"].value - 1


def assumptions(point: WorkingPoint, head: Head) -> list[str]:
    """What the comparison rests on that was not published, one sentence each."""
    spec = point.arch()
    machine = build_machine(spec)
    chips, link, stack = machine.system.chips, machine.system.link, machine.reram_stack
    assert link is not None
    assert stack is not None
    used = chips * FS_PER_NS / float(machine.dram.fs_per_byte)  # 10^9 bytes a second are a byte a ns
    peak = used / point.dram_efficiency
    received = f"{FS_PER_NS / float(link.fs_per_byte):g} GB/s, {link.latency_fs / FS_PER_NS:g} ns"
    where = "in DRAM at 4 bits" if head == "dram" else "left out: its weights are neither read nor counted"
    return [
        "Acceptance is not published: tokens and draft steps of a target pass are inferred per pair from its "
        "published DRAM and ReRAM MB a token (rows `input`), and acceptance is i.i.d. with those means.",
        "Draft-then-verify, up to the last step of the ablation, has the same tokens a pass and (to whole lengths) "
        "the same draft steps as the parallel policy, at an acceptance of its own.",
        f"Fitted on LLaMA2-7B alone: {point.clock_mhz:g} MHz ({spec.technology.supply_v:.2f} V), the lowest clock "
        f"within 2 % of the highest one's speed; the DRAM's efficiency, {point.dram_efficiency:.3f} of {chips} x "
        f"{peak / chips:.4g} GB/s (effective {used:.2f} GB/s); its energy, {point.dram_pj_per_bit or 0:.2f} pJ "
        "a bit, which takes up every other error of energy.",
        f"Steady decoding, contexts {PROMPT} to {PROMPT + OUTPUT}, prompts not counted; KV cache of 8 bits (16 in the "
        "base); activations stay on chip.",
        f"The draft's head is {where}. LLaMA-296M is a guess of its shape.",
        f"Link between chips: {received}, {link.energy_pj_per_bit:g} pJ a bit; ReRAM latency "
        f"{stack.latency_fs / FS_PER_NS:.3g} ns. The array's shape, its ports and the units' lanes are "
        "ours; rotations run on the rotation unit, codebook blocks fuse as even indices do.",
        "The base has 16-bit integers where the paper has BF16, and no rotation.",
    ]
