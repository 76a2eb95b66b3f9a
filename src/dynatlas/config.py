"""Reads all yaml, and answers mistakes in words a stranger understands.

Every error is a ConfigError that names the file, the key, the value, what is allowed and the nearest name. Nothing here
imports torch, numpy or pandas: Snakemake reads it at every start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from math import isinf
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from dynatlas.validation import explain

Scale = Literal["smoke", "quick", "standard", "paper"]
Count = Annotated[int, Field(gt=0, strict=True)]
SCALES: tuple[Scale, ...] = get_args(Scale)
CONFIG = "config/config.yaml"
COMMAND_LINE = "the command line"


class ConfigError(Exception):
    """Something in the configuration is wrong; the message says what, where, and the way out."""


# ---------------------------------------------------------------- yaml


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml: ten times faster
    """YAML as people write it: `1e-3` is a number, a date is a word, and what readers disagree about is an error."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


def _plain(tag: str, expression: str, first: Iterable[str]) -> None:
    """A word without quotes that `expression` matches is of this kind; `first` are the letters that begin it."""
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{expression})$"), list(first))


_plain("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_plain("null", "~|null|Null|NULL|", ["~", "n", "N", ""])
_plain("merge", "<<", "<")
_plain("int", r"[-+]?(?:0|[1-9](?:_?\d)*|0x[\da-fA-F]+|0b[01]+)", "-+0123456789")
_plain(
    "float",
    r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+(?:[eE][-+]?\d+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
    "-+0123456789.",
)

_CLOCK = re.compile(r"[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?")
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def _doubt(word: str) -> str:
    """What to write in place of a plain word that some take for a truth value or a number; empty if none would."""
    quoted = f'"{word}" if the word is meant'
    if word.lower() in _SWITCHES:
        return f"write {_SWITCHES[word.lower()]}, or {quoted}"
    if word == "None":
        return f"write null, or {quoted}"
    if _CLOCK.fullmatch(word):
        return f"write a number without colons, or {quoted}"
    try:
        number = float(int(word, 0)) if re.match(r"[-+]?0[oOxXbB]", word) else float(word)
    except ValueError:
        return ""
    spelt = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(str(number), f"{number:.15g}")
    return f"write {spelt}, or {quoted}"


def _problems(node: yaml.Node, path: str, seen: set[int]) -> Iterator[tuple[yaml.Mark, str]]:
    """Where and why a document cannot be trusted: a key twice, or a word that is read in more than one way.

    This is the document as it is written: what a merge (`<<: *base`) brings in may be overwritten.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        doubt = _doubt(node.value) if node.tag.endswith(":str") and node.style in (None, "") else ""
        if doubt:
            yield node.start_mark, f"{path}: {node.value}: readers of yaml disagree about it; {doubt}"
        if node.tag.endswith(":float") and node.value.strip("+-")[:1].isdigit() and isinf(float(node.value)):
            yield node.start_mark, f"{path}: {node.value}: larger than any number; write .inf if that is meant"
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _problems(item, path, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[tuple[str, str]] = set()
        for key, value in node.value:
            inside = f"{path}.{key.value}".lstrip(".") if isinstance(key, yaml.ScalarNode) else path
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys:
                yield key.start_mark, f"{inside}: the key {key.value!r} stands twice"
            keys.add((key.tag, str(key.value)))
            yield from _problems(key, inside, seen)
            yield from _problems(value, inside, seen)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a yaml file.

    Raises ConfigError for a missing, empty or malformed file, for tabs, for a key that stands twice, and for a word
    that readers of yaml disagree about (`no`, `010`, `1:30`, `None`, `inf`).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not text in UTF-8") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise ConfigError(f"{path}, line {number}: a tab indents this line; yaml wants blanks")
    content = _parse(text, path)
    if not isinstance(content, dict):
        what = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise ConfigError(f"{path}: the file {what}; it must hold keys and values")
    return content


def _parse(text: str, path: Path) -> Any:
    loader = _Loader(text)
    try:
        document = loader.get_single_node()
        for mark, problem in [] if document is None else _problems(document, "", set()):
            raise ConfigError(f"{path}, line {mark.line + 1}: {problem}")
        return None if document is None else loader.construct_document(document)
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        where = f", line {at.line + 1}" if at else ""
        raise ConfigError(f"{path}{where}: not valid yaml: {getattr(error, 'problem', error)}") from None
    finally:
        loader.dispose()


# ---------------------------------------------------------------- models


class Strict(BaseModel):
    """A declaration: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AtlasConfig(Strict):
    """config/config.yaml: what is made, at which scale, on which seeds and device."""

    scale: Scale = Field(default="quick", description="which block of numbers of each study is used")
    studies: Literal["all"] | list[str] = Field(default="all", description="all, or a list of study names")
    seeds: Literal["ledger", "dev"] | Count = Field(
        default="ledger",
        description="ledger: the study's number of seeds, from 100; dev: as many, from 0, into <scale>-dev; "
        "a number: that many seeds, from 100, for every study",
    )
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="where training runs")
    base_seed: int = Field(default=0, strict=True, description="changes every random draw of the atlas")

    @field_validator("studies", mode="before")
    @classmethod
    def _one_study(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) and value != "all" else value


# ---------------------------------------------------------------- errors


def validate(model: type[BaseModel], content: Mapping[str, Any], where: str) -> Any:
    """`content` as `model`; raises ConfigError in plain words, beginning with `where` (a file)."""
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(explain(error, model, where)) from None


# ---------------------------------------------------------------- reading


def load_config(
    root: Path, overrides: Mapping[str, Any] | None = None, *, path_scale: str | None = None
) -> AtlasConfig:
    """config/config.yaml under `root`, with the values given on the command line put over it.

    `path_scale` is a scale as it stands in paths, and settles which seeds are meant: `quick-dev` those for developing,
    whatever the file says, `quick` those of the ledger. Raises ConfigError, also for `quick-dev` with seeds counted.
    """
    path = root / CONFIG
    content = read_yaml(path)
    given = dict(overrides or {})
    config = validate(AtlasConfig, content, CONFIG)
    config = validate(AtlasConfig, content | given, COMMAND_LINE) if given else config
    if path_scale is None:
        return config
    scale, dev = split_scale(path_scale)
    if dev:
        refuse_counted_development(path_scale, given.get("seeds", "dev"))
    seeds = "dev" if dev else "ledger" if config.seeds == "dev" else config.seeds
    return validate(AtlasConfig, config.model_dump() | {"scale": scale, "seeds": seeds}, COMMAND_LINE)


def split_scale(path_scale: str) -> tuple[str, bool]:
    """Scale as declared, and whether its seeds are for developing, of a scale as it stands in paths (`quick-dev`)."""
    return path_scale.removesuffix("-dev"), path_scale.endswith("-dev")


def refuse_counted_development(path_scale: str, seeds: object) -> None:
    """Raise ConfigError where a number of seeds is asked for at a scale of development seeds: two ways to say which."""
    if isinstance(seeds, int):
        raise ConfigError(
            f"seeds: {seeds}: a number counts the ledger's seeds, but {path_scale} has those for developing, as many "
            f"as the study says; leave out the number, or take scale {split_scale(path_scale)[0]}"
        )
