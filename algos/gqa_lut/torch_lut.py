"""Table look-ups as torch integers: the same numbers as `accelsim.functional.lut`, by other code."""

from __future__ import annotations

import torch

from accelsim.schemes import LutScheme


def round_shift(values: torch.Tensor, shift: torch.Tensor | int) -> torch.Tensor:
    """values / 2^shift for shift >= 0, half up."""
    amount = torch.as_tensor(shift, dtype=torch.int64, device=values.device)
    last = amount.clamp(0, 1)
    return torch.bitwise_right_shift(torch.bitwise_right_shift(values, amount - last).add_(last), last)


class TorchLut(torch.nn.Module):
    """A scheme's tables as buffers (a shift a row)."""

    def __init__(self, scheme: LutScheme, device: torch.device | None = None) -> None:
        super().__init__()
        self.scheme = scheme
        tables = scheme.tables
        for name, rows in (
            ("slopes", [table.slopes for table in tables]),
            ("intercepts", [table.intercepts for table in tables]),
            ("starts", [scheme.segment_starts(table) for table in tables]),
            ("usable", [scheme.usable_codes(table.shift) for table in tables]),
        ):
            self.register_buffer(name, torch.tensor(rows, dtype=torch.int64, device=device), persistent=False)

    def forward(self, q: torch.Tensor, shift: int) -> tuple[torch.Tensor, int, torch.Tensor]:
        """Results of int64 codes, their fraction bits, and each code's segment."""
        row = self.scheme.shifts.index(shift)
        if self.scheme.outside == "clamp":
            low, high = self.scheme.usable_codes(shift)
            q = q.clamp(low, high)
        segment = torch.bucketize(q, self.starts[row], right=True)
        lift_k, lift_b = self.scheme.lifts(shift)
        product = self.slopes[row][segment] * q * (1 << lift_k)
        return product + self.intercepts[row][segment] * (1 << lift_b), self.scheme.fraction_bits(shift), segment

    def whole_reduced(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Results of int64 values of the table's scale through a `floor` reduction, and the fraction bits of each."""
        shift = self.scheme.reduced_shift
        whole = torch.bitwise_right_shift(values, shift)
        found, bits, _ = self(values - torch.bitwise_left_shift(whole, shift), shift)
        return found, bits - whole

    def reduced(self, values: torch.Tensor, shift: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Results of wide int64 values >= 1 through a `scale` reduction, and the fraction bits of each."""
        reduction, scheme = self.scheme.reduction, self.scheme
        assert reduction is not None
        assert reduction.kind == "scale"
        powers = torch.tensor([1 << bit for bit in range(63)], dtype=torch.int64, device=values.device)
        width = torch.bucketize(values, powers, right=True)
        table = scheme.reduced_shift
        up = scheme.input_bits - 1 - width
        up = up - torch.remainder(up - (table - shift), reduction.input_bits)
        codes = torch.bitwise_left_shift(round_shift(values, (-up).clamp_min(0)), up.clamp_min(0))
        found, bits, _ = self(codes.clamp_max(scheme.highest_code), table)
        groups = torch.div(table - shift - up, reduction.input_bits, rounding_mode="floor")
        return found, bits + reduction.output_bits * groups


def requantise(values: torch.Tensor, down: torch.Tensor | int, low: int, high: int) -> torch.Tensor:
    """values / 2^down (of either sign), half up, saturated."""
    amount = torch.as_tensor(down, dtype=torch.int64, device=values.device)
    lifted = torch.bitwise_left_shift(values, (-amount).clamp_min(0)) if bool((amount < 0).any()) else values
    return round_shift(lifted, amount.clamp(0, 62)).clamp_(low, high)
