"""The scales of stored partial sums: one power of two per step of the accumulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from accelsim.schemes.psum import PsumScheme

MAX_SHIFT = 62


@dataclass(frozen=True)
class PsumScales:
    """alpha_n = 2^shifts[n] for n = 0..T-1, the successive visits of the accumulator (APSQ, arXiv 2505.03748).

    In units of the integer products; the real scale is alpha_n times the scales of ifmap and weight.
    No shifts at all means that outputs never leave the accumulator (T = 1). Raises ValueError for a
    scheme that stores psums unquantised, or a shift that is not an integer in 0..62.
    """

    scheme: PsumScheme
    shifts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.scheme.is_apsq:
            raise ValueError(f"psums of {self.scheme.bits} bits are not requantised, so they have no scales")
        for step, shift in enumerate(self.shifts):
            if type(shift) is not int or not 0 <= shift <= MAX_SHIFT:
                raise ValueError(f"psum shift {shift!r} of step {step} is not an integer in 0..{MAX_SHIFT}")

    @property
    def steps(self) -> int:
        """T, how many visits of the accumulator the scales are for."""
        return len(self.shifts)

    def to_dict(self) -> dict[str, object]:
        """Plain numbers and text for JSON or YAML."""
        return {"scheme": asdict(self.scheme), "shifts": list(self.shifts)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> PsumScales:
        """What `to_dict` made; ValueError for anything else."""
        scheme, shifts = data.get("scheme"), data.get("shifts")
        if set(data) != {"scheme", "shifts"} or not isinstance(scheme, Mapping) or not isinstance(shifts, list):
            raise ValueError(f"psum scales are {{scheme: {{...}}, shifts: [...]}}, not {dict(data)!r}")
        try:
            return cls(PsumScheme(**scheme), tuple(shifts))
        except TypeError as error:
            raise ValueError(f"psum scheme {dict(scheme)!r}: {error}") from None
