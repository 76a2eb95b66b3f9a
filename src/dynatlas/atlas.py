"""The atlas as declared: configuration, studies, and the plan of each study at each scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dynatlas.arguments import check_arguments
from dynatlas.columns import schemas_of
from dynatlas.config import COMMAND_LINE, CONFIG, AtlasConfig, ConfigError, load_config, read_yaml
from dynatlas.declarations import load_studies, select
from dynatlas.fingerprint import CodeIndex
from dynatlas.joint import guide_nodes, ledger_nodes
from dynatlas.keeping import kept_ledgers
from dynatlas.names import nearest
from dynatlas.nodes import ROOT, Node
from dynatlas.places import claims_path
from dynatlas.plan import Plan
from dynatlas.signatures import signatures_of
from dynatlas.table_schema import TableSchema

DOWNLOADS = Path("downloads")
"""Where sets that the datasets know by name are looked for, below the working folder."""


class Atlas:
    """Everything declared under `root`, with the values of `overrides` put over config/config.yaml.

    `path_scale` (`quick`, `quick-dev`) settles the scale and which seeds are meant, whatever the file says.
    Raises ConfigError, before anything is computed, for whatever is wrong in the declarations.
    """

    def __init__(self, root: Path = ROOT, overrides: Mapping[str, Any] | None = None, *, path_scale: str | None = None):
        self.root = root
        self.overrides = dict(overrides or {})
        self.config: AtlasConfig = load_config(root, self.overrides, path_scale=path_scale)
        self.studies = load_studies(root)
        self.selected = select(self.config, self.studies, where=self.source("studies"))
        self._plans: dict[tuple[str, str], Plan] = {}
        self._guides: dict[str, dict[str, Node]] = {}

    def source(self, key: str) -> str:
        """Where a key of the configuration was given: the file, or the command line."""
        return COMMAND_LINE if key in self.overrides else CONFIG

    @property
    def scale(self) -> str:
        """The configured scale as it stands in paths."""
        return self.config.scale + ("-dev" if self.config.seeds == "dev" else "")

    @property
    def at_scale(self) -> list[str]:
        """The studies, selected or not, that have numbers for the configured scale."""
        return [name for name, spec in self.studies.items() if self.config.scale in spec.scales]

    @cached_property
    def index(self) -> CodeIndex:
        """The parsed code of the package."""
        return CodeIndex(self.root / "src")

    def plan(self, study: str, scale: str | None = None) -> Plan:
        """The plan of one study at a scale (default: the configured one)."""
        scale = scale or self.scale
        if study not in self.studies:
            known = ", ".join(self.studies)
            raise ConfigError(f"{study!r}: no such study{nearest(study, self.studies)} (known: {known})")
        if (study, scale) not in self._plans:
            spec = self.studies[study]
            try:
                kept = kept_ledgers(self.root, spec, self.config, scale=scale, index=self.index)
                self._plans[study, scale] = Plan(self.root, spec, self.config, scale=scale, index=self.index, kept=kept)
            except SyntaxError as error:
                raise ConfigError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
        return self._plans[study, scale]

    def node(self, step: str, study: str, *, name: str, scale: str | None = None) -> Node:
        """One node of the DAG; study is empty for the guides, the ledger and the index."""
        if step == "guide":
            return self.guide(name, scale)
        if step in ("ledger", "index"):
            return self.joint(scale)[step]
        return self.plan(study, scale).node(step, name)

    def joint(self, scale: str | None = None, *, studies: Sequence[str] | None = None) -> dict[str, Node]:
        """The two nodes over several studies (default: all that are selected): ledger and index."""
        scale = scale or self.scale
        plans = {study: self.plan(study, scale) for study in studies or self.selected}
        ledger, index = ledger_nodes(plans, self.guides(scale), known=list(self.studies), root=self.root, scale=scale)
        return {"ledger": ledger, "index": index}

    def guides(self, scale: str | None = None) -> dict[str, Node]:
        """The notebooks that belong to no study, by name."""
        scale = scale or self.scale
        if scale not in self._guides:
            self._guides[scale] = guide_nodes(self.root, scale=scale, index=self.index)
        return self._guides[scale]

    def guide(self, name: str, scale: str | None = None) -> Node:
        """One of the guides. Raises ConfigError naming the nearest."""
        guides = self.guides(scale)
        if name not in guides:
            raise ConfigError(f"{name!r}: no such guide{nearest(name, guides)} (known: {', '.join(guides) or 'none'})")
        return guides[name]

    def missing_files(self, study: str, scale: str | None = None, *, names: Iterable[str] | None = None) -> list[str]:
        """What the user must put where before a study is made at a scale: a line a published file that is not there.

        `names`: only these entries of the study's `files:`; default: all that the scale reads. Raises ConfigError for
        an entry that says no path and is no set that the datasets know.
        """
        from dynatlas.datasets.catalogue import ARCHIVES, IMAGE_SETS, wanted_of
        from dynatlas.datasets.published import File, Wanted

        plan = self.plan(study, scale)
        read = {name for node in plan.nodes.values() for name in node.files} if names is None else set(names)
        lines = []
        for name, spec in plan.spec.files.items():
            known = [*IMAGE_SETS, *ARCHIVES]
            if spec.path is None and name not in known:
                hint = nearest(name, known)
                raise ConfigError(f"{plan.where}: files.{name}: no path, and no set of this name is known{hint}")
            if spec.path is None:
                wanted = list(wanted_of(name, folder=DOWNLOADS))
            else:
                file = File(Path(spec.path).name, spec.size, spec.sha256) if spec.size else None
                wanted = [Wanted(Path(spec.path), title=spec.title, source=spec.source, file=file)]
            lines += [line for one in wanted if name in read and (line := one.absent())]
        return lines

    def check(self) -> None:
        """Build every plan, read every claim and guide. Raises ConfigError for the first thing that cannot work."""
        for study in self.selected:
            self.plan(study)
            check_arguments(self.studies[study], signatures_of(self.index))
            self.check_claims(study)
            self.missing_files(study)
        self.guides()

    def check_claims(self, study: str) -> None:
        """Hold a study's claims against the measures and metrics that it declares."""
        from dynatlas.claims.checks import check_claims, parse_claims

        spec = self.studies[study]
        path = claims_path(self.root, spec)
        shown = str(path.relative_to(self.root))
        measures = {name: tuple(measure.metrics) for name, measure in spec.measures.items()}
        tables: dict[str, Mapping[str, TableSchema]] = {scale: schemas_of(spec, scale) for scale in spec.scales}
        check_claims(parse_claims(read_yaml(path), shown), measures, shown, tables=tables)
