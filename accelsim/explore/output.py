"""A sweep's table as a file, written whole or not at all, with equal bytes for equal tables."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import user_error
from accelsim.report.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

PARQUET = ".parquet"


def check_parquet(path: Path | None) -> None:
    """Raises UserError when `path` is a parquet file and nothing here can write one."""
    if path is not None and path.suffix == PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise user_error(str(path), "output", "parquet needs pyarrow", "pip install pyarrow, or write a .csv")


def save_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as `.csv`, `.json` or, with pyarrow, `.parquet`. Raises UserError where that cannot be."""
    path = Path(path)
    if path.suffix == PARQUET:
        check_parquet(path)
        data = io.BytesIO()
        # A column of values of several kinds has no type in parquet: those are written as texts.
        mixed = [name for name in table.columns if table[name].map(type).nunique() > 1 and table[name].dtype == object]
        table.astype(dict.fromkeys(mixed, str)).to_parquet(data, index=False)
        write_whole(path, data.getvalue())
    elif path.suffix == ".csv":
        write_whole(path, table.to_csv(index=False, lineterminator="\n").encode())
    elif path.suffix == ".json":
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        write_whole(path, f"{json.dumps(rows, indent=1, allow_nan=False)}\n".encode())
    else:
        raise user_error(str(path), "output", f"cannot write {path.suffix or 'a file without suffix'}",
                         "use .csv, .json or .parquet")  # fmt: skip
