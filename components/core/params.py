"""The one reader of params.yaml.

In: a YAML 1.2 file, read as DVC reads it (``1e-3`` is a number, ``no`` is text). Out: a typed, frozen config.
In between: a wrong value is told with its file, key, what was found and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.core.errors import ParamsError
from components.core.stage import Config, Stage

PARAMS = Path("params.yaml")
ConfigT = TypeVar("ConfigT", bound=Config)


def load(path: Path = PARAMS) -> dict[str, Any]:
    """All sections of a params file as plain values. Raises ParamsError."""
    if not path.is_file():
        raise ParamsError(str(path), found="no such file", expected="a params file", fix="`pedigree recipe debug`")
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), found=_one_line(error), expected="YAML 1.2", fix="mend that line") from None
    if not isinstance(values, dict):
        raise ParamsError(str(path), found=type(values).__name__, expected="a mapping", fix="start from a recipe")
    return values


def section(values: dict[str, Any], stage: Stage, path: Path = PARAMS) -> Config:
    """The config of ``stage`` out of all the values. Raises ParamsError naming file, key and value."""
    found: Any = values
    for key in stage.section.split("."):
        if not isinstance(found, dict) or key not in found:
            raise ParamsError(
                f"{path}, {stage.section}",
                found="no such section",
                expected=f"the values of stage {stage.name}",
                fix="copy the section from a recipe in infra/recipes",
            )
        found = found[key]
    return parse(found, stage.config, f"{path}, {stage.section}")


def parse(value: Any, config: type[ConfigT], where: str) -> ConfigT:
    """``value`` as a config, checked strictly. Raises ParamsError naming the first key that is wrong."""
    try:
        return config.model_validate_json(json.dumps(value, allow_nan=False))
    except ValidationError as error:
        raise _explain(error, config, where) from None
    except (TypeError, ValueError) as error:
        fix = "write a number, a text, a list or a mapping"
        raise ParamsError(where, found=_one_line(error), expected="plain values", fix=fix) from None


def check_all(
    values: dict[str, Any], stages: Iterable[Stage], families: Collection[str] = (), path: Path = PARAMS
) -> None:
    """Check every section at once, and that there is no other; ``families`` may be empty. Raises ParamsError."""
    known: set[tuple[str, ...]] = {(name,) for name in families if not values.get(name)}
    for stage in stages:
        section(values, stage, path)
        known.add(tuple(stage.section.split(".")))
    for found in _unknown_sections(values, known, ()):
        names = {".".join(name[: len(found)]) for name in known if name[: len(found) - 1] == found[:-1]}
        raise _unknown_key(path, ".".join(found), names)


def _unknown_sections(
    values: dict[str, Any], known: set[tuple[str, ...]], above: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Keys that are neither a section nor lead to one."""
    for key, value in values.items():
        place = (*above, key)
        if place in known:
            continue
        if isinstance(value, dict) and any(name[: len(place)] == place for name in known):
            yield from _unknown_sections(value, known, place)
        else:
            yield place


def _explain(error: ValidationError, config: type[Config], where: str) -> ParamsError:
    # A misspelt key shows up twice, as unknown and as missing; the first of the two is what helps.
    first = min(error.errors(include_url=False), key=lambda told: told["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    place = f"{where}.{key}" if key else where
    if first["type"] == "extra_forbidden":
        names = set(config.model_fields)
        return _unknown_key(Path(where.split(",")[0]), place.split(", ")[-1], names)
    found = "nothing" if first["type"] == "missing" else json.dumps(first["input"], ensure_ascii=False)[:200]
    return ParamsError(place, found=found, expected=first["msg"], fix="change that value")


def _unknown_key(path: Path, key: str, known: set[str]) -> ParamsError:
    import difflib

    last = key.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(last, sorted(known), n=1) or difflib.get_close_matches(key, sorted(known), n=1)
    fix = f"did you mean {near[0]!r}?" if near else "remove it"
    return ParamsError(f"{path}, {key}", found="an unknown key", expected=", ".join(sorted(known)), fix=fix)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
