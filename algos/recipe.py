"""Recipes: YAML files that name schemes and their settings, in the order they are applied.

recipe_version: 1
steps:
  - scheme: quant
    weight_bits: 8
    skip: ["*.classifier"]
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from accelsim.errors import Fault, UserError, did_you_mean, user_error
from algos.recipe_settings import config_of
from algos.registry import CONFIGS
from algos.scheme_config import SchemeConfig

SHIPPED = Path(__file__).parent / "recipes"
MAX_BYTES = 1 << 20
VERSION = 1


def load_recipe(path_or_name: str | Path) -> tuple[SchemeConfig, ...]:
    """The steps of a shipped recipe or of a YAML file (a text with a path separator, or ending in .yaml or .yml).

    UserError with file, line and column of every fault.
    """
    path, label = _find(str(path_or_name))
    root = _composed(path, label)
    recipe = _Reader(label)
    steps = recipe.read(root)
    if recipe.faults:
        raise UserError(recipe.faults)
    return steps


def recipe_names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _find(text: str) -> tuple[Path, str]:
    if "/" in text or text.endswith((".yaml", ".yml")):
        return Path(text), text
    path = SHIPPED / f"{text}.yaml"
    if text not in recipe_names():
        raise user_error("recipe", text, "no such recipe", did_you_mean(text, recipe_names()))
    return path, f"{text}.yaml"


def _composed(path: Path, label: str) -> yaml.Node | None:
    try:
        raw = path.read_bytes()[: MAX_BYTES + 1]
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise user_error(label, "recipe", f"cannot be read: {error}", "name a readable YAML file in UTF-8") from None
    if len(raw) > MAX_BYTES:
        raise user_error(label, "recipe", "is over 1 MiB", "a recipe has a few lines")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise user_error(label, "recipe", "an alias", "write the value out; aliases are not read")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        found = f"not readable as YAML: {getattr(error, 'problem', None) or 'broken text'}"
        raise UserError([Fault(label, line, column, "recipe", found, "check indentation, quotes, brackets")]) from None


class _Reader:
    """Nodes to configs; what is wrong is added to `faults`."""

    def __init__(self, label: str) -> None:
        self.faults: list[Fault] = []
        self._label = label

    def read(self, root: yaml.Node | None) -> tuple[SchemeConfig, ...]:
        entries = self._mapping(root, "recipe", ("recipe_version", "steps"))
        version, steps = entries.get("recipe_version"), entries.get("steps")
        for key in ("recipe_version", "steps"):
            if key not in entries:
                self._fault(root, key, "missing", f"add {key}")
        if version is not None and self._value(version) != VERSION:
            self._fault(version, "recipe_version", f"found {self._value(version)!r}", f"this accelsim reads {VERSION}")
        if steps is None:
            return ()
        if not isinstance(steps, yaml.SequenceNode) or not steps.value:
            self._fault(steps, "steps", "no list of schemes", "write one or more `- scheme: ...`")
            return ()
        read = [self._step(node, f"steps[{number}]") for number, node in enumerate(steps.value)]
        return tuple(step for step in read if step is not None)

    def _step(self, node: yaml.Node, name: str) -> SchemeConfig | None:
        entries = self._mapping(node, name, None)
        scheme = entries.pop("scheme", None)
        word = "" if scheme is None else str(self._value(scheme))
        if word not in CONFIGS:
            found = f"found {word!r}" if word else "missing"
            self._fault(scheme or node, f"{name}.scheme", found, did_you_mean(word, CONFIGS))
            return None
        return self._config(CONFIGS[word], entries, node, name)

    def _config(
        self, config: type[SchemeConfig], entries: dict[str, yaml.Node], node: yaml.Node, name: str
    ) -> SchemeConfig | None:
        made, wrong = config_of(config, {key: self._value(value) for key, value in entries.items()})
        for one in wrong:
            self._fault(entries.get(one.setting, node), f"{name}.{one.setting}".rstrip("."), one.found, one.fix)
        return made

    def _mapping(self, node: yaml.Node | None, name: str, allowed: tuple[str, ...] | None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self._fault(node, name, "not a mapping", "write `key: value` lines")
            return {}
        entries: dict[str, yaml.Node] = {}
        for key, value in node.value:
            word = str(key.value)
            if word in entries:
                self._fault(key, f"{name}.{word}", "duplicate key", "keep one of the two")
            elif allowed is not None and word not in allowed:
                self._fault(key, f"{name}.{word}", "no such key", did_you_mean(word, allowed))
            else:
                entries[word] = value
        return entries

    def _value(self, node: yaml.Node) -> object:
        try:
            value: object = yaml.SafeLoader("").construct_object(node, deep=True)
            json.dumps(value, allow_nan=False)
        except (yaml.YAMLError, TypeError, ValueError):
            self._fault(node, "value", f"{node.tag} is not plain data", "use numbers, texts, true, false and lists")
            return None
        return value

    def _fault(self, node: yaml.Node | None, name: str, found: str, fix: str) -> None:
        line, column = (node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else (1, 1)
        self.faults.append(Fault(self._label, line, column, name, found, fix))
