"""The requantisers of an integer rotation: fixed-point multipliers that take the Hadamard scale in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from accelsim.schemes.rotation import RotationScheme

MULTIPLIER_BITS = 16
MAX_SHIFT = 62
MAX_BITS = 16
MAX_FRACTION_BITS = 8
WORD_BITS = 63
"""Magnitude bits of an int64, in which value x multiplier + half must stay."""


@dataclass(frozen=True)
class FixedRatio:
    """value x multiplier / 2^shift, rounded half up. ValueError outside 1..2^16 - 1 and 0..62."""

    multiplier: int
    shift: int

    def __post_init__(self) -> None:
        if type(self.multiplier) is not int or not 1 <= self.multiplier < 2**MULTIPLIER_BITS:
            raise ValueError(f"multiplier {self.multiplier!r} is not an integer in 1..{2**MULTIPLIER_BITS - 1}")
        if type(self.shift) is not int or not 0 <= self.shift <= MAX_SHIFT:
            raise ValueError(f"shift {self.shift!r} is not an integer in 0..{MAX_SHIFT}")

    @classmethod
    def nearest(cls, ratio: float) -> FixedRatio:
        """The closest to a positive ratio with a 16-bit multiplier; ValueError for one out of reach."""
        if not math.isfinite(ratio) or ratio <= 0:
            raise ValueError(f"ratio {ratio!r} is not a positive number")
        shift = min(MAX_SHIFT, MULTIPLIER_BITS - math.frexp(ratio)[1])
        if shift >= 0 and round(math.ldexp(ratio, shift)) == 2**MULTIPLIER_BITS:
            shift -= 1
        if shift < 0 or round(math.ldexp(ratio, shift)) < 1:
            raise ValueError(f"ratio {ratio!r} does not fit a {MULTIPLIER_BITS}-bit multiplier and a shift")
        return cls(round(math.ldexp(ratio, shift)), shift)


@dataclass(frozen=True)
class RotationScales:
    """How integers leave a rotation, in units of its integer inputs.

    Every stage adds and subtracts exactly. `between` (two stages only) brings what the first stage
    made to 2^-fraction_bits of the input's unit; channels that the first stage left out are shifted to
    the same unit. `last` requantises what the last stage made and `kept` (two stages only) the
    channels it left out, both to `output_bits`, saturating at +-(2^(output_bits - 1) - 1). Raises
    ValueError when a requantiser is missing or unused, or a sum could pass 63 bits.
    """

    scheme: RotationScheme
    input_bits: int
    output_bits: int
    last: FixedRatio
    between: FixedRatio | None = None
    kept: FixedRatio | None = None
    fraction_bits: int = 0

    def __post_init__(self) -> None:
        for name, bits in (("input_bits", self.input_bits), ("output_bits", self.output_bits)):
            if type(bits) is not int or not 2 <= bits <= MAX_BITS:
                raise ValueError(f"rotation {name} {bits!r} is not an integer in 2..{MAX_BITS}")
        if type(self.fraction_bits) is not int or not 0 <= self.fraction_bits <= MAX_FRACTION_BITS:
            raise ValueError(f"rotation fraction_bits {self.fraction_bits!r} is not in 0..{MAX_FRACTION_BITS}")
        two = len(self.scheme.stages) == 2
        if two != (self.between is not None) or two != (self.kept is not None) or (self.fraction_bits and not two):
            raise ValueError("between, kept and fraction_bits belong to a rotation of two stages, and only to it")
        if self.accumulator_bits + MULTIPLIER_BITS > WORD_BITS:
            raise ValueError(f"sums of {self.accumulator_bits} bits leave no room for a {MULTIPLIER_BITS}-bit product")

    @classmethod
    def from_ratio(
        cls, scheme: RotationScheme, ratio: float, *, input_bits: int = 8, output_bits: int = 8, fraction_bits: int = 4
    ) -> RotationScales:
        """Scales for `ratio` = input scale / output scale; the Hadamard scales are taken in."""
        root = math.sqrt(scheme.points * scheme.order)
        if len(scheme.stages) == 1:
            return cls(scheme, input_bits, output_bits, FixedRatio.nearest(ratio / root))
        one = 2.0**fraction_bits
        last, between, kept = (FixedRatio.nearest(value) for value in (ratio / root / one, one / root, ratio / one))
        return cls(scheme, input_bits, output_bits, last, between, kept, fraction_bits)

    @property
    def accumulator_bits(self) -> int:
        """Signed bits that hold every sum of every stage, whatever the input."""
        size = self.scheme.points * self.scheme.order
        unit: int = 2 ** (self.input_bits - 1)
        largest = unit * size
        if self.between is not None:
            product = largest * self.between.multiplier + (1 << self.between.shift >> 1)
            stage = max(product >> self.between.shift, unit << self.fraction_bits)
            largest = max(largest, stage * size)
        return largest.bit_length() + 1

    def to_dict(self) -> dict[str, object]:
        """Plain numbers for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> RotationScales:
        """What `to_dict` made; ValueError for anything else."""
        names = {"scheme", "input_bits", "output_bits", "last", "between", "kept", "fraction_bits"}
        scheme = data.get("scheme")
        if set(data) != names or not isinstance(scheme, Mapping):
            raise ValueError(f"rotation scales have the keys {sorted(names)}, not {sorted(data)}")
        last, between, kept = (_fixed_point(data[name]) for name in ("last", "between", "kept"))
        widths = [data[name] for name in ("input_bits", "output_bits", "fraction_bits")]
        if last is None or not all(type(bits) is int for bits in widths):
            raise ValueError("rotation scales need `last` and whole numbers of bits")
        input_bits, output_bits, fraction_bits = (int(str(bits)) for bits in widths)
        rotation = RotationScheme.from_dict(scheme)
        return cls(rotation, input_bits, output_bits, last, between, kept, fraction_bits)


def _fixed_point(data: object) -> FixedRatio | None:
    if data is None:
        return None
    if not isinstance(data, Mapping) or set(data) != {"multiplier", "shift"}:
        raise ValueError(f"a fixed-point ratio is {{multiplier, shift}}, not {data!r}")
    return FixedRatio(data["multiplier"], data["shift"])
