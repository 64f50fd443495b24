"""Settings of a recipe's steps from outside the recipe, checked as strictly as the recipe itself.

A key is `recipe.STEP.SETTING`; STEP is the scheme's name, or the step's number counted from 0 where two
steps have one scheme.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from accelsim.errors import Fault, UserError, did_you_mean
from algos.scheme_config import SchemeConfig

PREFIX = "recipe"
FORM = "write recipe.STEP.SETTING, for example recipe.apsq.bits or recipe.0.bits"


@dataclass(frozen=True)
class Wrong:
    """One mistake in a step: its setting ("" for all of them together), what was found, how to mend it."""

    setting: str
    found: str
    fix: str


def config_of(kind: type[SchemeConfig], settings: Mapping[str, object]) -> tuple[SchemeConfig | None, list[Wrong]]:
    """The config with these plain settings (what JSON can hold), or everything that is wrong with them."""
    strict = checked(kind, frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid"))
    allowed = [field.name for field in fields(kind)]
    wrong: list[Wrong] = []
    try:
        made = TypeAdapter(strict).validate_json(json.dumps(settings))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0]) if detail["loc"] else ""
            if detail["type"] == "unexpected_keyword_argument":
                found, fix = f"no such setting of {kind.name}", did_you_mean(key, allowed)
            else:
                found = detail["msg"].removeprefix("Value error, ").lower() if key else str(detail["ctx"]["error"])
                fix = f"settings of {kind.name}: {', '.join(allowed)}"
            wrong.append(Wrong(key, found, fix))
        return None, wrong
    return kind(**{key: getattr(made, key) for key in allowed}), []


def with_settings(steps: Sequence[SchemeConfig], settings: Mapping[str, object]) -> tuple[SchemeConfig, ...]:
    """The steps with some settings changed; texts are read as YAML, other values are taken as they are.

    UserError with every key that names no step or setting and every value that its scheme refuses.
    """
    faults: list[Fault] = []
    changed: dict[int, dict[str, object]] = {}
    words: dict[int, str] = {}
    for key, value in settings.items():
        prefix, _, rest = key.partition(".")
        step, _, setting = rest.partition(".")
        if prefix != PREFIX or not setting or "." in setting:
            faults.append(Fault(PREFIX, 0, 0, key, "not the key of a step's setting", FORM))
            continue
        number = _number(steps, step, key, faults)
        if number is None:
            continue
        if setting in changed.setdefault(number, {}):
            faults.append(Fault(PREFIX, 0, 0, key, "the same setting by another key", "keep one"))
        changed[number][setting] = _plain(value)
        words[number] = step
    made = list(steps)
    for number, data in changed.items():
        config, wrong = config_of(type(steps[number]), asdict(steps[number]) | data)
        name = f"{PREFIX}.{words[number]}"
        faults += [Fault(PREFIX, 0, 0, f"{name}.{one.setting}".rstrip("."), one.found, one.fix) for one in wrong]
        if config is not None:
            made[number] = config
    if faults:
        raise UserError(faults)
    return tuple(made)


def _number(steps: Sequence[SchemeConfig], word: str, key: str, faults: list[Fault]) -> int | None:
    """Which step a key means; None and a fault where that is none or not clear."""
    names = [step.name for step in steps]
    places = [str(number) for number in range(len(steps))]
    if word in places:
        return int(word)
    if names.count(word) == 1:
        return names.index(word)
    if word in names:
        which = ", ".join(f"recipe.{number}" for number, name in enumerate(names) if name == word)
        faults.append(Fault(PREFIX, 0, 0, key, f"{names.count(word)} steps are called {word}", f"say which: {which}"))
    else:
        faults.append(Fault(PREFIX, 0, 0, key, f"no step {word!r} in this recipe", did_you_mean(word, names + places)))
    return None


def _plain(value: object) -> object:
    """A text as the YAML it spells, where it is YAML that JSON can hold; numbers as Python's own."""
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        return int(value) if isinstance(value, numbers.Integral) else float(str(value))
    if not isinstance(value, str):
        return value
    try:
        read: object = yaml.safe_load(value)
        json.dumps(read, allow_nan=False)
    except (yaml.YAMLError, TypeError, ValueError):
        return value
    return read
