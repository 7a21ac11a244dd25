"""YAML 1.2 in and out, as plain values under limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from .errors import UserError
from .runs import write_whole

MAX_BYTES, MAX_DEPTH = 1_000_000, 20


def read_yaml(path: Path) -> dict:
    """YAML 1.2 as plain values; duplicate keys, aliases and tags are refused."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(str(path), f"has over {MAX_BYTES:,} bytes; a recipe has a few hundred.")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(str(path), "no such file. Give a recipe in YAML.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"can't be read ({error}). Give a recipe in YAML, encoded in UTF-8.") from None
    try:
        depth = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, AliasEvent):
                raise UserError(str(path), "uses a YAML alias (*name). Write the value out.")
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UserError(str(path), f"is nested over {MAX_DEPTH} deep; a recipe needs six levels.")
        raw = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        reason = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise UserError(str(path), f"is not valid YAML{line}: {reason}.") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), list) or not raw["steps"]:
        raise UserError(str(path), "has no list of steps. Write 'steps:' and below it '- train: {...}' lines.")
    return raw


def write_recipe(path: Path, steps: list[dict]) -> None:
    """Write steps as a recipe that `strop run` can repeat."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump({"steps": _quoted(steps)}, stream)
    write_whole(path, stream.getvalue().encode())


def _quoted(value: Any) -> Any:
    """Texts with Unicode's own line breaks in double quotes, where they are escaped; elsewhere they would fold."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {name: _quoted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and set(value) & set("\x85\u2028\u2029") else value
