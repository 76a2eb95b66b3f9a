"""What pydantic finds wrong in a declaration, in words a stranger understands."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from dynatlas.names import nearest


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Pydantic's errors, one line a key: file, key, value, what is allowed, the nearest name."""
    lines: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        subject, message = _explain_one(dict(item), model)
        lines.setdefault(subject, []).append(message)
    # a key that may be one of several things (a word or a number) has an error for each
    named = {f"{where}: {key}" if key else where: messages for key, messages in lines.items()}
    listed = "\n".join(f"{subject}: {', or '.join(messages)}" for subject, messages in named.items())
    return listed.replace(", or allowed is", ", or")


def _explain_one(item: dict[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """Key and value, and what is wrong with them."""
    path = [
        str(part) for part in item["loc"] if not str(part).startswith(("literal", "list", "constrained-", "function-"))
    ]
    path = [part for part in path if part not in ("[key]", "int", "str")]
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return key, f"unknown key{nearest(path[-1], known)} (allowed: {', '.join(known)})"
    if item["type"] == "missing":
        return key, "this key is missing"
    value = item["input"]
    shown = f": {value!r}" if not isinstance(value, dict | list) else ""
    expected = item.get("ctx", {}).get("expected")
    hint = nearest(str(value), re.findall(r"'([^']*)'", expected)) if expected else ""
    message = item["msg"].removeprefix("Value error, ").replace("should be greater", "should be a number greater")
    message = message.replace("Input should be", "allowed is")
    return f"{key}{shown}", f"{message[0].lower()}{message[1:]}{hint}"


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Names that are allowed under `path`, following models and mappings of models."""
    here: Any = model
    for part in path:
        fields = {(field.alias or name): field for name, field in getattr(here, "model_fields", {}).items()}
        if part in fields:
            annotation = fields[part].annotation
            inner = [kind for kind in getattr(annotation, "__args__", ()) if hasattr(kind, "model_fields")]
            here = inner[0] if inner else annotation
    return [field.alias or name for name, field in getattr(here, "model_fields", {}).items()]
