"""Texts at random, and a good spec with lines damaged: a spec comes of them, or an answer, and never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.spec import load_arch, yaml_source
from accelsim.spec.models import ArchSpec
from tests.smoke.test_spec import GOOD, _write


def is_spec_or_answered(text: str, folder: Path) -> bool:
    """Whether the text is a spec, or has faults that are told in this project's words; any other error is raised."""
    try:
        return isinstance(load_arch(_write(folder, text.encode("utf-8", "surrogatepass"))), ArchSpec)
    except UserError as error:
        return bool(error.faults) and "Input should" not in str(error)


@pytest.fixture(scope="module", params=["c", "python"])
def fuzz_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to write to; run once with the C parser and once with the pure Python one."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(yaml_source, "_Loader", yaml.SafeLoader)
        yield tmp_path_factory.mktemp("fuzz")


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="{}[]:-?&*!|>'\"%@# \n\tae01.<~,")))
def test_random_text_is_never_a_traceback(fuzz_folder: Path, text: str) -> None:
    assert is_spec_or_answered(text, fuzz_folder)


_LINES = GOOD.splitlines()
_TOKENS = ["~", "[", "{a: 1}", "- x", "1e999", "true", "0x10", "''", "!!int 3", "&a 1", "*a", ": :", "{[]: 1}", "-0.0"]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_mutated_spec_is_never_a_traceback(fuzz_folder: Path, data: st.DataObject) -> None:
    lines = list(_LINES)
    for _ in range(data.draw(st.integers(1, 5))):
        index = data.draw(st.integers(0, len(lines) - 1))
        action = data.draw(st.sampled_from(["drop", "twice", "value", "indent", "swap", "key"]))
        key, _, _ = lines[index].partition(":")
        other = data.draw(st.integers(0, len(lines) - 1))
        if action == "swap":
            lines[index], lines[other] = lines[other], lines[index]
        else:
            lines[index] = {
                "drop": "",
                "twice": f"{lines[index]}\n{lines[index]}",
                "value": f"{key}: {data.draw(st.one_of(st.sampled_from(_TOKENS), st.text(max_size=8)))}",
                "indent": f"  {lines[index]}",
                "key": f"{lines[index][:3]}{data.draw(st.text(max_size=3))}{lines[index][4:]}",
            }[action]
    assert is_spec_or_answered("\n".join(lines), fuzz_folder)
