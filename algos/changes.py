"""What compressing did, or would do, to each layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerChange:
    """What a scheme makes of one module, or why it leaves it alone (`skipped`; then `change` is empty).

    `path` is the module's in the model ("" is the model itself), `layer` the class that stood there.
    """

    path: str
    scheme: str
    layer: str
    change: str = ""
    skipped: str = ""

    def __post_init__(self) -> None:
        if bool(self.change) == bool(self.skipped):
            raise ValueError(f"{self.path}: a layer is changed or skipped, one of the two")

    def __str__(self) -> str:
        what = f"skipped: {self.skipped}" if self.skipped else self.change
        return f"{self.path or 'model'} ({self.layer}): {self.scheme}: {what}"


@dataclass(frozen=True)
class CompressionReport:
    """Every layer that a scheme changed or skipped, in the order of the steps and of the model."""

    changes: tuple[LayerChange, ...]

    @property
    def changed(self) -> tuple[LayerChange, ...]:
        """The layers that were compressed."""
        return tuple(change for change in self.changes if not change.skipped)

    @property
    def skipped(self) -> tuple[LayerChange, ...]:
        """The layers left alone, each with its reason."""
        return tuple(change for change in self.changes if change.skipped)

    def __str__(self) -> str:
        lines = [f"{len(self.changed)} layers changed, {len(self.skipped)} skipped"]
        return "\n".join([*lines, *(f"  {change}" for change in self.changes)])
