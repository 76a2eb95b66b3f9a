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
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from dynatlas.names import nearest

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


class Paper(Strict):
    """The paper that a study regenerates."""

    title: str
    authors: str
    year: int
    arxiv: str | None = None
    doi: str | None = None
    venue: str | None = None


class NodeSpec(Strict):
    """One entry of `data:` or `runs:`: a function, what it needs, and its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    call: str = Field(
        description="a function of the study's data.py, train.py or measure.py, or `package.module:function`"
    )
    about: str = Field(default="", description="one line for the reader of the site")
    needs: list[str] = Field(default=[], description="names of data, runs or measures; each arrives as a keyword")
    jobs: dict[str, list[Any] | str] = Field(default={}, description="axes that split into jobs, one value each")
    stacked: dict[str, list[Any] | str] = Field(default={}, description="axes stacked inside a job, passed as lists")
    with_: dict[str, Any] = Field(
        default={}, alias="with", description="keyword arguments; `=name` is the scale's number"
    )
    seeds: Count | str | None = Field(default=None, description="seeds of this node where they differ")
    threads: Count = Field(default=1, description="threads to compute with")
    scales: list[Scale] = Field(default=list(SCALES), description="scales at which this node exists")


class MeasureSpec(NodeSpec):
    """One entry of `measures:`: its function returns a tidy table with exactly these metrics."""

    metrics: list[str] = Field(min_length=1, description="every value that the column `metric` takes")


class FigureSpec(Strict):
    """One entry of `figures:`: a function of figures.py that draws tables."""

    call: str
    needs: list[str] = Field(min_length=1, description="names of measures; each table arrives as a keyword")
    title: str
    caption: str
    scales: list[Scale] = Field(default=list(SCALES), description="scales at which this figure is drawn")


class FileSpec(Strict):
    """One entry of `files:`: published data that lie where the user puts them; looked for before any job."""

    scales: list[Scale] = Field(min_length=1, description="scales that read it")
    read_by: list[str] = Field(default=[], description="data, runs and measures that read it; default: all")
    path: str | None = Field(default=None, description="where it lies; default: a set that the datasets know by name")
    title: str = ""
    source: str = Field(default="", description="where the user finds it")
    size: Count | None = Field(default=None, description="bytes")
    sha256: str = ""


class StudySpec(Strict):
    """config/studies/<study>.yaml: one paper's runs, measures and figures, and the numbers of each scale."""

    study: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    paper: Paper
    scales: dict[Scale, dict[str, Any]] = Field(min_length=1)
    data: dict[str, NodeSpec] = {}
    runs: dict[str, NodeSpec] = {}
    measures: dict[str, MeasureSpec] = Field(min_length=1)
    figures: dict[str, FigureSpec] = {}
    cover: str | None = Field(default=None, description="the figure on the site's front page; default: the first")
    files: dict[str, FileSpec] = {}

    @model_validator(mode="after")
    def _cover_is_a_figure(self) -> StudySpec:
        if self.cover is not None and self.cover not in self.figures:
            raise ValueError(f"cover: {self.cover!r}: no such figure{nearest(self.cover, self.figures)}")
        return self

    @field_validator("files")
    @classmethod
    def _readers(cls, files: dict[str, FileSpec], info: ValidationInfo) -> dict[str, FileSpec]:
        known = [name for section in ("data", "runs", "measures") for name in info.data.get(section, {})]
        for file, spec in files.items():
            for name in spec.read_by:
                if name not in known:
                    raise ValueError(f"{file}.read_by: {name!r}: no such entry{nearest(name, known)}")
        return files

    @field_validator("scales")
    @classmethod
    def _seeds(cls, scales: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for scale, numbers in scales.items():
            seeds = numbers.get("seeds")
            if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
                raise ValueError(f"{scale}.seeds: {seeds!r}: allowed is a whole number of at least 1")
        return scales

    @property
    def package(self) -> str:
        """The study's Python package."""
        return f"dynatlas.studies.{self.study.replace('-', '_')}"


# ---------------------------------------------------------------- errors


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Pydantic's errors, one line a key: file, key, value, what is allowed, the nearest name."""
    lines: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        subject, message = _explain_one(dict(item), model)
        lines.setdefault(subject, []).append(message)
    # a key that may be one of several things (a word or a number) has an error for each
    return "\n".join(f"{where}: {key}: {', or '.join(messages)}" for key, messages in lines.items()).replace(
        ", or allowed is", ", or"
    )


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


def load_studies(root: Path) -> dict[str, StudySpec]:
    """Every study declared under config/studies, by name, in the order of the names."""
    folder = root / "config" / "studies"
    studies = {}
    for path in sorted(folder.glob("*.yaml")):
        spec: StudySpec = validate(StudySpec, read_yaml(path), _shown(path, root))
        if spec.study != path.stem:
            raise ConfigError(f"{_shown(path, root)}: study: {spec.study!r}: the file's name says {path.stem!r}")
        studies[spec.study] = spec
    if not studies:
        raise ConfigError(
            f"{_shown(folder, root)}: no study is declared here (<study>.yaml), so there is nothing to make"
        )
    return studies


def select(config: AtlasConfig, studies: Mapping[str, StudySpec], *, where: str = CONFIG) -> list[str]:
    """The names of the studies that `config.studies` asks for. ConfigError names `where` it was asked."""
    if config.studies == "all":
        return list(studies)
    if not config.studies:
        raise ConfigError(f"{where}: studies: []: the list is empty; write `all` or name at least one study")
    for name in config.studies:
        if name not in studies:
            known = ", ".join(studies)
            raise ConfigError(f"{where}: studies: {name!r}: no such study{nearest(name, studies)} (known: {known})")
    return [name for name in studies if name in config.studies]


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
