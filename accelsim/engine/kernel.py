"""The event engine's loop, compiled: the rules of `accelsim.engine.engine` over arrays.

There is no list of events. Of every queue's head it is known when it can go as soon as whoever gives
its tokens has gone, so each turn issues the head that can go first; no head still in the dark can be
earlier, since its tokens come from an instruction yet to go. Only one thing is finer than time: an
instruction that is over the instant it starts gives its tokens to the next `round` of that instant.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

_I1 = "int64[::1]"


@no_type_check
@numba.njit(f"Tuple(({', '.join([_I1] * 4)}, int64[:, ::1]))({', '.join([_I1] * 14)})", cache=True)
def issue_all(
    first,  # (queues + 1,) where each queue's instructions begin in busy and latency
    busy,
    latency,
    held_at,  # (queues + 1,) where each queue's resources begin in held
    held,
    wait_at,  # (queues + 1,) where each queue's waits begin in wait_channel and wait_base
    wait_channel,
    wait_base,  # where the counts of a wait begin
    giver,  # (channels,) the queue that gives tokens, or -1
    give_base,  # (channels,) where the counts given begin
    credits,
    told,  # (channels,) where in `when` the times of its tokens begin: 0, or the instructions for those given at issue
    counts,
    server_at,  # (resources + 1,) where each resource's servers begin
):
    """Start and finish of every instruction (-1 if never); per resource its server time, its last release, and
    its stalls by wait, in the last column those that no token explains (resources, waits + 1)."""
    queues, resources = first.size - 1, server_at.size - 1
    when = np.full(2 * busy.size, -1, np.int64)  # every finish, then every start
    finish, start = when[: busy.size], when[busy.size :]
    rounds = np.zeros(2 * busy.size, np.int32)  # the round their tokens come in, of instructions of no time
    server, free_at = np.zeros(server_at[-1], np.int64), np.zeros(resources, np.int64)
    served, released = np.zeros(resources, np.int64), np.zeros(resources, np.int64)
    served_last = np.full(resources, -1, np.int64)  # instructions
    there, given = credits.copy(), np.zeros(credits.size, np.int64)  # tokens counted, instructions they are from
    head, known = first[:queues].copy(), np.zeros(queues, np.bool_)
    ready, ready_round = np.zeros(queues, np.int64), np.zeros(queues, np.int64)
    signalled = np.zeros(queues, np.int64)  # tokens of a queue leave it in order
    at_issue = told.any()
    waits = wait_channel.size
    stalls = np.zeros((resources, waits + 1), np.int64)
    lacked = np.zeros(busy.size, np.int64)  # how long an instruction waited for nothing but tokens
    lacked_for = np.zeros(busy.size, np.int32)  # for those of which wait
    last_wait, last_from = np.full(queues, waits, np.int64), np.zeros(queues, np.int64)  # what made a head ready
    while True:
        best, best_at, best_round = -1, np.int64(0), np.int64(0)
        for q in range(queues):
            i = head[q]
            if i == first[q + 1]:
                continue
            if not known[q]:
                row, all_known = i - first[q], True
                for w in range(wait_at[q], wait_at[q + 1]):
                    c = wait_channel[w]
                    need = counts[wait_base[w] + row]
                    if there[c] >= need:
                        continue
                    g = giver[c]
                    if g < 0:
                        all_known = False
                        break
                    from_first = first[g]
                    n, issued = given[c], head[g] - from_first
                    while there[c] < need and n < issued:
                        there[c] += counts[give_base[c] + n]
                        n += 1
                    given[c] = n
                    if there[c] < need:
                        all_known = False
                        break
                    last = told[c] + from_first + n - 1
                    came, round_ = when[last], np.int64(rounds[last])
                    if came > ready[q] or (came == ready[q] and round_ > ready_round[q]):
                        ready[q], ready_round[q] = came, round_
                        last_wait[q], last_from[q] = w, from_first + n - 1
                if not all_known:
                    continue
                known[q] = True
            at, round_ = ready[q], ready_round[q]
            if busy[i] > 0:
                for h in range(held_at[q], held_at[q + 1]):
                    if free_at[held[h]] > at:
                        at, round_ = free_at[held[h]], np.int64(0)
            sooner = best < 0 or at < best_at
            if not sooner and at == best_at:
                sooner = round_ < best_round or (round_ == best_round and ready[q] < ready[best])
            if sooner:
                best, best_at, best_round = q, at, round_
        if best < 0:
            return start, finish, served, released, stalls
        i = head[best]
        for w in range(wait_at[best], wait_at[best + 1]):
            there[wait_channel[w]] -= counts[wait_base[w] + i - first[best]]
        could = start[i - 1] if i > first[best] else np.int64(0)  # go, had it had its tokens
        if busy[i] > 0:
            for h in range(held_at[best], held_at[best + 1]):
                r, g = held[h], last_from[best]
                # The giver's own time at the server is part of what is waited for.
                own = last_wait[best] < waits and served_last[r] == g
                could = max(could, start[g] if own else free_at[r])
        lacked[i], lacked_for[i] = max(0, ready[best] - could), last_wait[best]
        if busy[i] > 0:
            for h in range(held_at[best], held_at[best + 1]):
                r = held[h]
                # Of the time the server had nothing to do, whoever gave the last token waited some itself.
                gap = max(0, ready[best] - free_at[r])
                if gap > 0:
                    giver_lacked = np.int64(0)
                    if last_wait[best] < waits:
                        giver_lacked = min(gap, lacked[last_from[best]])
                        stalls[r, lacked_for[last_from[best]]] += giver_lacked
                    stalls[r, last_wait[best]] += gap - giver_lacked
                stalls[r, waits] += best_at - free_at[r] - gap
                served_last[r] = i
                served[r] += busy[i]
                released[r] = max(released[r], best_at + busy[i])
                free_at[r] = best_at + busy[i]
                if server_at[r + 1] - server_at[r] > 1:
                    servers = server[server_at[r] : server_at[r + 1]]
                    servers[np.argmin(servers)] = best_at + busy[i]
                    free_at[r] = servers.min()
        start[i] = best_at
        finish[i] = max(signalled[best], best_at + busy[i] + latency[i])
        signalled[best] = finish[i]
        if at_issue:
            rounds[busy.size + i] = best_round
        if finish[i] == best_at:
            rounds[i] = best_round + 1
        head[best] = i + 1
        known[best] = False
        ready[best], ready_round[best] = best_at, best_round
