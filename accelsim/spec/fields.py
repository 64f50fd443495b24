"""What every model of a spec is made of: the base model, and numbers with the ranges they may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


def whole(value: object) -> object:
    """Refuse true and 1.0, which a `Literal[1]` alone would take for 1."""
    if type(value) is not int:
        raise PydanticCustomError("int_type", "not a whole number")
    return value


Size = Annotated[int, Field(ge=1, le=1 << 20, strict=True)]
Positive = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False, strict=True)]
Cost = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0.001, le=1, allow_inf_nan=False, strict=True)]
Bits = Annotated[int, Field(ge=2, le=64, strict=True)]


class SpecModel(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
