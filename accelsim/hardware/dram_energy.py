"""What a DRAM's energy per bit is made of: opening rows, moving columns, driving pins.

`data/dram.csv` gives the total and two of its parts for a stream that uses each opened row whole; the
third part, column access, is the rest, so the three always sum to the total. A total that the user
gives is split in the same shares.
"""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.hardware import tables
from accelsim.hardware.block import Action, Cost, weakest


def split(line: Mapping[str, str], total: Cost, row_bits: int | None) -> dict[str, Action]:
    """The actions `activate`, `access` and `io` of a memory of `total` pJ per bit.

    `line` is the kind's row of the table. `activate` is charged per row of `row_bits`, or per bit where
    None; the other two per bit.
    """
    whole, confidence = float(line["energy_pj_per_bit"]), tables.confidence(line["split_confidence"])

    def part(name: str, share: float, value: float) -> Cost:
        source = f"{total.source}; {share:.1%} of it for {name}: {line['split_source']}"
        return Cost(value, source, weakest([total.confidence, confidence]))

    shares = {name: float(line[f"{name}_pj_per_bit"]) / whole for name in ("activate", "io")}
    pj = {name: share * total.value for name, share in shares.items()}
    activate = Action(part("activation", shares["activate"], pj["activate"]), "bit")
    if row_bits is not None:
        activate = Action(activate.energy_pj.scaled(row_bits, f"{row_bits} bits a row"), "activation")
    rest = part("column access", 1 - sum(shares.values()), total.value - pj["activate"] - pj["io"])
    return {
        "activate": activate,
        "access": Action(rest, "bit"),
        "io": Action(part("I/O", shares["io"], pj["io"]), "bit"),
    }
