"""What pydantic finds wrong in a declaration, in words a stranger understands."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dynatlas.names import nearest


def explain(error: ValidationError, model: Any, where: str) -> str:
    """Pydantic's errors, one line a key: file, key, value, what is allowed, the nearest name.

    `model` may be a union of models.
    """
    lines: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        subject, message = _explain_one(dict(item), model)
        lines.setdefault(subject, []).append(message)
    # a key that may be one of several things (a word or a number) has an error for each
    return "\n".join(f"{where}: {key}: {', or '.join(messages)}" for key, messages in lines.items()).replace(
        ", or allowed is", ", or"
    )


def _explain_one(item: dict[str, Any], model: Any) -> tuple[str, str]:
    """Key and value, and what is wrong with them."""
    path = [
        str(part) for part in item["loc"] if not str(part).startswith(("literal", "list", "constrained-", "function-"))
    ]
    path, known = _followed(model, [part for part in path if part not in ("[key]", "int", "str")])
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
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


def _followed(model: Any, path: list[str]) -> tuple[list[str], list[str]]:
    """The keys of `path`, and the names that are allowed beside the last one.

    It is followed through models, mappings and lists of models, and unions of them, whose tag is the model's name.
    """
    keys: list[str] = []
    here, last = model, model
    for part in path:
        models = {one.__name__: one for one in _models_in(here)}
        if part in models and here is not models[part]:
            here = models[part]
            continue
        keys.append(part)
        last = here
        for name, field in getattr(next(iter(models.values()), None), "model_fields", {}).items():
            if part == (field.alias or name):
                here = field.annotation
    first = next(iter(_models_in(last)), None)
    return keys, [field.alias or name for name, field in getattr(first, "model_fields", {}).items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model in a type such as `dict[str, list[A | B]] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
