"""How a tensor is stored as integers: width and granularity, and the scales that give them back their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

Granularity = Literal["tensor", "channel"]
MAX_QUANT_BITS = 16


@dataclass(frozen=True)
class QuantScheme:
    """Symmetric integers of `bits` bits: q = clamp(round half up(x / s), -qmax, qmax), qmax = 2^(bits-1) - 1.

    One scale s for the whole tensor, or one per output channel of a weight. Raises ValueError outside
    2..16 bits or for another granularity.
    """

    bits: int
    granularity: Granularity = "tensor"

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 2 <= self.bits <= MAX_QUANT_BITS:
            raise ValueError(f"quantised bits {self.bits!r} are outside 2..{MAX_QUANT_BITS}")
        if self.granularity not in get_args(Granularity):
            raise ValueError(f"granularity {self.granularity!r} is none of {', '.join(get_args(Granularity))}")

    @property
    def qmax(self) -> int:
        """The largest integer stored."""
        return int(2 ** (self.bits - 1) - 1)


@dataclass(frozen=True)
class QuantScales:
    """The scales of one tensor, x = s q: one number, or one per channel.

    Raises ValueError for a scale that is not finite and positive, or several for a whole tensor.
    """

    scheme: QuantScheme
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.scheme.granularity == "tensor" and len(self.scales) != 1:
            raise ValueError(f"{len(self.scales)} scales for a whole tensor")
        for number, scale in enumerate(self.scales):
            if not (isinstance(scale, float) and math.isfinite(scale) and scale > 0):
                raise ValueError(f"scale {scale!r} of channel {number} is not a positive finite number")

    def to_dict(self) -> dict[str, object]:
        """Plain numbers and text for JSON or YAML."""
        return {"scheme": asdict(self.scheme), "scales": list(self.scales)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> QuantScales:
        """What `to_dict` made; ValueError for anything else."""
        scheme, scales = data.get("scheme"), data.get("scales")
        if set(data) != {"scheme", "scales"} or not isinstance(scheme, Mapping) or not isinstance(scales, list):
            raise ValueError(f"scales are {{scheme: {{...}}, scales: [...]}}, not {dict(data)!r}")
        try:
            return cls(QuantScheme(**scheme), tuple(scales))
        except TypeError as error:
            raise ValueError(f"scheme {dict(scheme)!r}: {error}") from None
