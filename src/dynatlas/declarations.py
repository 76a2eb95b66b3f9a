"""What a study declares in its yaml: data, runs, measures, figures, and their numbers at each scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dynatlas.config import CONFIG, SCALES, AtlasConfig, ConfigError, Count, Scale, Strict, read_yaml, validate
from dynatlas.names import nearest
from dynatlas.table_schema import Columns, Metrics


class Paper(Strict):
    """The paper that a study regenerates."""

    title: str
    authors: str
    year: int
    arxiv: str | None = None
    doi: str | None = None
    venue: str | None = None


def _by_name(value: Any) -> Any:
    """`[units, {rate: 0.1}]` as `{units: "=units", rate: 0.1}`: a name alone is the number of that name."""
    if not isinstance(value, list):
        return value
    found: dict[str, Any] = {}
    for item in value:
        if not isinstance(item, dict) and (not isinstance(item, str) or item.startswith("=")):
            raise ValueError(f"{item!r}: allowed in the list is the name of a number, or `key: value`")
        for key, entry in (item if isinstance(item, dict) else {item: f"={item}"}).items():
            if key in found:
                raise ValueError(f"{key!r} stands twice in the list")
            found[key] = entry
    return found


_BY_NAME = "; in a list, a name alone is the number of that name: `[units, rate: 0.1]`"
Arguments = Annotated[
    dict[str, Any], BeforeValidator(_by_name, json_schema_input_type=dict[str, Any] | list[str | dict[str, Any]])
]
Axes = Annotated[
    dict[str, list[Any] | str],
    BeforeValidator(
        _by_name, json_schema_input_type=dict[str, list[Any] | str] | list[str | dict[str, list[Any] | str]]
    ),
]


CALLS = {"data": "make_", "runs": "train_", "measures": "measure_", "figures": "draw_"}
"""How the functions are called that entries of each section call by default."""


class NodeSpec(Strict):
    """One entry of `data:` or `runs:`: a function, what it needs, and its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    call: str = Field(
        default="",
        description="a function of the study's data.py, train.py or measure.py, `module:function` of another of its "
        "modules, or in full `dynatlas.module:function`; default: make_, train_ or measure_ and the entry's name",
    )
    about: str = Field(default="", description="one line for the reader of the site")
    needs: list[str] = Field(default=[], description="names of data, runs or measures; each arrives as a keyword")
    jobs: Axes = Field(default={}, description="axes that split into jobs, one value each" + _BY_NAME)
    stacked: Axes = Field(default={}, description="axes stacked inside a job, passed as lists" + _BY_NAME)
    with_: Arguments = Field(
        default={},
        alias="with",
        description="keyword arguments; `=name` is the number of that name at the scale, `=name[axis]` the entry of "
        "that number at the job's value of an axis" + _BY_NAME,
    )
    seeds: Count | str | None = Field(default=None, description="seeds of this node where they differ")
    threads: Count = Field(default=1, description="threads to compute with")
    scales: list[Scale] = Field(default=list(SCALES), description="scales at which this node exists")


class MeasureSpec(NodeSpec):
    """One entry of `measures:`: its function returns a tidy table with exactly these metrics and conditions."""

    metrics: Metrics
    columns: Columns = Field(default={})


class FigureSpec(Strict):
    """One entry of `figures:`: a function of figures.py that draws tables."""

    call: str = Field(default="", description="a function of figures.py; default: draw_ and the figure's name")
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
    """config/studies/<study>.yaml: one paper's runs, measures and figures, and their numbers at each scale."""

    study: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    paper: Paper
    numbers: dict[str, Any] = Field(default={}, description="numbers of every scale that says no other")
    scales: dict[Scale, dict[str, Any]] = Field(
        min_length=1, description="the scales that there are, each with the numbers that it overrides, whole, or adds"
    )
    data: dict[str, NodeSpec] = Field(default={})
    runs: dict[str, NodeSpec] = Field(default={})
    measures: dict[str, MeasureSpec] = Field(min_length=1)
    figures: dict[str, FigureSpec] = Field(default={})
    cover: str | None = Field(default=None, description="the figure on the site's front page; default: the first")
    files: dict[str, FileSpec] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _calls(cls, content: dict[str, Any]) -> dict[str, Any]:
        """An entry that says no `call` calls the function of its own name: the measure `errors` `measure_errors`."""
        named = {section: content[section] for section in CALLS if isinstance(content.get(section), dict)}
        called = {
            section: {
                name: {"call": CALLS[section] + str(name)} | entry if isinstance(entry, dict) else entry
                for name, entry in entries.items()
            }
            for section, entries in named.items()
        }
        return content | called

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

    @model_validator(mode="after")
    def _seeds(self) -> StudySpec:
        for scale in self.scales:
            seeds = self.numbers_at(scale).get("seeds")
            if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
                raise ValueError(f"scales.{scale}.seeds: {seeds!r}: allowed is a whole number of at least 1")
        return self

    def numbers_at(self, scale: str) -> dict[str, Any]:
        """All numbers of a scale: those of `numbers:`, and over them its own, each as a whole."""
        return self.numbers | {str(one): own for one, own in self.scales.items()}[scale]

    @property
    def package(self) -> str:
        """The study's Python package."""
        return f"dynatlas.studies.{self.study.replace('-', '_')}"


# ---------------------------------------------------------------- reading


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
