"""Many requests under one policy: the state machine of `policies` as one loop over arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.decoding.costs import COLUMNS, PassCosts
from accelsim.decoding.counts import COUNTS, Counts
from accelsim.decoding.draws import Draws
from accelsim.decoding.policies import Policy
from accelsim.errors import user_error

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """Each request's counts (requests, counts), costs (requests, 8) and rejected energy (requests,), pJ."""

    counts: Ints
    costs: Floats
    rejected_pj: Floats

    @property
    def total(self) -> Counts:
        """All requests together."""
        sums = dict(zip(COUNTS, self.counts.sum(axis=0).tolist(), strict=True))
        return Counts(**sums, rejected_pj=float(self.rejected_pj.sum()))


def draws_needed(policy: Policy, outputs: Ints) -> int:
    """How many draws `run` may look at."""
    return int(outputs.sum()) + policy.most_tokens + policy.most_concurrent


def run(policy: Policy, draws: Draws, costs: PassCosts, prompts: Ints, outputs: Ints) -> Run:
    """Requests one after the other; request i meets the draws from sum(outputs[:i]) on.

    UserError where the costs lack a pass that the policy may ask for, or the draws are too few or have no
    entropies for a length that goes by them; ValueError for prompts or outputs below 1.
    """
    if len(prompts) != len(outputs) or min(prompts.min(), outputs.min()) < 1:
        raise ValueError("as many prompts as outputs, all of at least one token")
    _check(policy, draws, costs, outputs)
    entropy = draws.entropy_bits if draws.entropy_bits is not None else np.zeros(0)
    counts = np.zeros((len(prompts), len(COUNTS)), np.int64)
    spent, rejected_pj = np.zeros((len(prompts), len(COLUMNS))), np.zeros(len(prompts))
    length = policy.length
    widths, reads = (np.array(each, np.int64) for each in (policy.widths, policy.draft_tokens))
    kind = ("fixed", "heuristic", "entropy").index(length.kind)
    _run(
        policy.serial, policy.concurrent, policy.short, widths, reads, policy.tree_nodes,
        kind, length.first, length.most, length.limit_bits,
        draws.rank, draws.right, entropy, prompts, outputs,
        costs.contexts, costs.draft, costs.verify, costs.together, costs.prompts, costs.prefill,
        counts, spent, rejected_pj,
    )  # fmt: skip
    return Run(counts, spent, rejected_pj)


def _check(policy: Policy, draws: Draws, costs: PassCosts, outputs: Ints) -> None:
    needed = draws_needed(policy, outputs)
    if len(draws) < needed:
        raise user_error("acceptance", policy.name, f"{len(draws)} draws for {needed} positions", "draw more")
    if policy.length.kind == "entropy" and draws.entropy_bits is None:
        fix = "use a recorded acceptance trace, or a fixed or heuristic length"
        raise user_error("acceptance", policy.name, "a draft length by entropy, and no entropies", fix)
    tokens, beside = policy.most_tokens, policy.most_concurrent
    fix = "tabulate more passes, or draft less"
    for table, wanted in ((costs.verify, (tokens,)), (costs.together, (tokens, beside) if beside else ())):
        if any(have < want for have, want in zip(table.shape, wanted, strict=False)):
            found = f"passes of {tokens} tokens beside {beside} draft steps, and costs of {table.shape[:-2]}"
            raise user_error("costs", policy.name, found, fix)


@numba.njit(cache=True)
def _run(
    serial_too: bool, concurrent_too: bool, short: int, widths: Ints, reads: Ints, tree_nodes: int,
    kind: int, first_length: int, most: int, limit_bits: float,
    rank: NDArray[np.int16], right_run: Ints, entropy: Floats, prompts: Ints, outputs: Ints,
    contexts: Ints, draft: Floats, verify: Floats, together: Floats, prefill_at: Ints, prefill: Floats,
    counts: Ints, spent: Floats, rejected_pj: Floats,
) -> None:  # fmt: skip
    base = 0
    for request in range(prompts.size):
        prompt, output = prompts[request], outputs[request]
        emitted, pending, length = 1, 0, first_length
        count, cost = counts[request], spent[request]
        _add(prefill_at, prefill, prompt, cost)
        while emitted < output:
            held, here = prompt + emitted - 1, base + emitted
            serial, concurrent = 0, 0
            if widths.size:
                serial = depth = widths.size
                nodes = tree_nodes
            else:
                if serial_too and pending == 0:
                    serial = short if short else _length(kind, length, most, limit_bits, entropy, here)
                depth = nodes = pending + serial
                if concurrent_too:
                    concurrent = _length(kind, length, most, limit_bits, entropy, here + depth)
            drafted = held + pending
            for step in range(serial):
                _add(contexts, draft[min(step, len(draft) - 1)], drafted, cost)
                drafted += reads[min(step, reads.size - 1)]
            if concurrent:
                _add(contexts, together[nodes, concurrent - 1], held, cost)
            else:
                _add(contexts, verify[nodes], held, cost)
            right = 0
            if widths.size:
                while right < depth and rank[here + right] < widths[right]:
                    right += 1
            else:
                right = min(right_run[here], depth + concurrent)
            accepted = min(right, depth)
            stayed = concurrent > 0 and right > depth
            wrong_nodes = nodes - accepted
            wrong_drafts = depth - accepted + (0 if stayed else concurrent)
            rejected_pj[request] += _energy(contexts, verify[nodes], held)
            rejected_pj[request] -= _energy(contexts, verify[nodes - wrong_nodes], held)
            for wrong in range(wrong_drafts):
                step = accepted + wrong if widths.size else 0
                rejected_pj[request] += _energy(contexts, draft[min(step, len(draft) - 1)], held)
            if kind == 1:
                whole = stayed if concurrent else right == depth
                length = min(length + 2, most) if whole else max(length - 1, 1)
            emitted += accepted + 1
            pending = concurrent - 1 if stayed else 0
            for name, more in enumerate(
                (1, int(stayed), accepted, serial, concurrent, wrong_drafts, 0, nodes, wrong_nodes)
            ):
                count[2 + name] += more
        count[0], count[1], count[8] = output, emitted - output, pending
        base += output


@numba.njit(cache=True)
def _length(kind: int, length: int, most: int, limit_bits: float, entropy: Floats, first: int) -> int:
    if kind < 2:
        return length
    for drafted in range(most):
        if entropy[first + drafted] > limit_bits:
            return drafted + 1
    return most


@numba.njit(cache=True)
def _segment(points: Ints, where: int) -> int:
    upper = int(np.searchsorted(points, where))
    return min(max(upper, 1), int(points.size) - 1)


@numba.njit(cache=True)
def _add(points: Ints, table: Floats, where: int, cost: Floats) -> None:
    if points.size == 1:
        for column in range(cost.size):
            cost[column] += table[0, column]
        return
    upper = _segment(points, where)
    share = (where - points[upper - 1]) / (points[upper] - points[upper - 1])
    for column in range(cost.size):
        cost[column] += table[upper - 1, column] + share * (table[upper, column] - table[upper - 1, column])


@numba.njit(cache=True)
def _energy(points: Ints, table: Floats, where: int) -> float:
    if points.size == 1:
        return float(table[0, 1])
    upper = _segment(points, where)
    share = (where - points[upper - 1]) / (points[upper] - points[upper - 1])
    return float(table[upper - 1, 1] + share * (table[upper, 1] - table[upper - 1, 1]))
