"""How paths and values of a spec are written in messages."""

from __future__ import annotations

import re
from typing import TypeAlias

Data: TypeAlias = "bool | int | float | str | list[Data] | dict[str, Data] | None"
"""What a YAML file can hold."""
DataPath: TypeAlias = tuple[str | int, ...]
"""Keys and list indices from the root to a value."""

_WORD = re.compile(r"[A-Za-z_][\w-]{0,63}", re.ASCII)
MAX_SHOWN = 60


def dotted(path: DataPath) -> str:
    """`array.po`, `psum_engine.bits[0]`; the root is `spec`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if _WORD.fullmatch(part) else shown(part)}"
    return text.lstrip(".") or "spec"


def shown(value: object) -> str:
    """A value as YAML writes it, on one short line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        text = f"[{', '.join(shown(item) for item in value[:MAX_SHOWN])}]"
    else:
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
