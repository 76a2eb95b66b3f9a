"""From declarations to nodes of the DAG: inputs, parameters, fingerprints, keys. Pure: no torch, no pandas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dynatlas.arguments import Arguments
from dynatlas.calls import MODULE_OF, SECTIONS, check_call, resolved
from dynatlas.columns import schema_of
from dynatlas.config import AtlasConfig, ConfigError, read_yaml, refuse_counted_development, split_scale
from dynatlas.declarations import FigureSpec, MeasureSpec, NodeSpec, StudySpec
from dynatlas.fingerprint import CodeIndex, code_digest, digest, file_digest, library_versions, templates_digest
from dynatlas.names import nearest
from dynatlas.nodes import Node, canonical
from dynatlas.number_table import number_rows
from dynatlas.places import claims_path, notebook_path, read_lock, study_folder
from dynatlas.seeds import seed_list
from dynatlas.signatures import signatures_of
from dynatlas.table_schema import TableSchema

FOLDER_OF = {"data": "data", "train": "runs", "measure": "tables"}
COMPUTING = tuple(FOLDER_OF)
Kept = Mapping[str, Mapping[str, str]]
"""What a page must know of the ledgers of other scales that are kept in git (`keeping.kept_ledgers`)."""
NOTHING: Kept = {}


class Plan:
    """All nodes of one study at one scale, by (step, name). Raises ConfigError for whatever cannot work."""

    def __init__(
        self,
        root: Path,
        spec: StudySpec,
        config: AtlasConfig,
        *,
        scale: str,
        index: CodeIndex,
        kept: Kept = NOTHING,
    ):
        self.root, self.spec, self.config, self.index = root, spec, config, index
        self.where = f"config/studies/{spec.study}.yaml"
        self.path_scale = scale
        self.scale, self.dev = split_scale(scale)
        if self.dev:
            refuse_counted_development(scale, config.seeds)
        self.versions = library_versions()
        if self.scale not in spec.scales:
            raise ConfigError(
                f"{self.where}: scales: no block for {self.scale!r} (there are: {', '.join(spec.scales)})"
            )
        self.arguments = Arguments(spec, self.scale, signatures_of(index))
        self.nodes: dict[tuple[str, str], Node] = {}
        self._parts: dict[str, list[Node]] = {}
        self.kept = kept
        self._build()

    def node(self, step: str, name: str) -> Node:
        """The node of a step by name. Raises ConfigError naming the nearest one."""
        if (step, name) not in self.nodes:
            known = [other for at, other in self.nodes if at == step]
            raise ConfigError(
                f"{self.spec.study}: no {step} step is called {name!r} at scale {self.path_scale}"
                f"{nearest(name, known)} (there are: {', '.join(known) or 'none'})"
            )
        return self.nodes[step, name]

    def step(self, step: str) -> list[Node]:
        """All nodes of a step, in the order of declaration."""
        return [node for (at, _), node in self.nodes.items() if at == step]

    def parts(self, entry: str) -> list[Node]:
        """The nodes that a declared entry (of data, runs or measures) was split into by its `jobs:` axes."""
        return self._parts[entry]

    @property
    def figures(self) -> dict[str, FigureSpec]:
        """The figures that are drawn at this scale, by name."""
        return {name: spec for name, spec in self.spec.figures.items() if self.scale in spec.scales}

    @property
    def cover(self) -> str | None:
        """The figure that stands for the study: the one that it names, else the first that is drawn at this scale."""
        return self.spec.cover if self.spec.cover in self.figures else next(iter(self.figures), None)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        entries = self._entries()
        for name in _in_order(entries, self.where):
            section, spec = entries[name]
            call = self.arguments.call(section, name, spec)
            self._parts[name] = [
                self._computing_node(section, name, spec, call, axes) for axes in self.arguments.axes(name, spec)
            ]
            for node in self._parts[name]:
                if (node.step, node.name) in self.nodes:
                    raise ConfigError(
                        f"{self.where}: {section}.{name}: jobs: two values give the file name {node.name!r}"
                    )
                self.nodes[node.step, node.name] = node
        figures = self._add(self._figures_node())
        claims = self._add(self._claims_node())
        notebook = self._add(self._notebook_node(claims, figures))
        self._add(self._page_node(claims, figures, notebook))

    def _add(self, node: Node) -> Node:
        self.nodes[node.step, node.name] = node
        return node

    def _entries(self) -> dict[str, tuple[str, NodeSpec]]:
        entries: dict[str, tuple[str, NodeSpec]] = {}
        for section in SECTIONS:
            for name, spec in getattr(self.spec, section).items():
                if not re.fullmatch(r"[A-Za-z_]\w*", name):
                    raise ConfigError(f"{self.where}: {section}.{name}: a name is letters, digits and underscores")
                if name in entries:
                    raise ConfigError(
                        f"{self.where}: {section}.{name}: {entries[name][0]} has an entry of that name too"
                    )
                if self.scale in spec.scales:
                    entries[name] = (section, spec)
        return entries

    def _seeds(self, count: int) -> tuple[int, ...]:
        """The seeds of an entry that declares so many; a number in the configuration goes for all."""
        own = count if self.config.seeds in ("ledger", "dev") else self.config.seeds
        return tuple(seed_list(own, dev=self.dev))  # type: ignore[arg-type]

    def _computing_node(self, section: str, name: str, spec: NodeSpec, call: str, axes: Mapping[str, Any]) -> Node:
        step = SECTIONS[section]
        needs = {need: self._needed(need, name, axes) for need in spec.needs}
        settings = self.arguments.settings(call, name, spec, axes)
        single = frozenset(need for need, nodes in needs.items() if len(nodes) == 1 and set(nodes[0].axes) <= set(axes))
        label = name + "".join(f"@{axis}={_slug(value)}" for axis, value in axes.items())
        suffix = "parquet" if step == "measure" else "safetensors"
        return self._finished(
            step,
            label,
            outputs=(f"{self._results()}/{FOLDER_OF[step]}/{label}.{suffix}",),
            call=call,
            settings=settings,
            needs=needs,
            single=single,
            seeds=self._seeds(self.arguments.seeds(name, spec)),
            device=self.config.device,
            threads=spec.threads,
            about=spec.about,
            axes=axes,
            stacked=tuple(spec.stacked),
            files=self._files_of(name),
            table=self._schema(name, spec, axes) if isinstance(spec, MeasureSpec) else None,
            code=("dynatlas.steps.compute", call.partition(":")[0]),
        )

    def _schema(self, name: str, spec: MeasureSpec, axes: Mapping[str, Any]) -> TableSchema:
        return schema_of(spec, self.arguments.numbers.values, f"{self.where}: measures.{name}", axes)

    def _files_of(self, name: str) -> tuple[str, ...]:
        read = self.spec.files.items()
        return tuple(one for one, file in read if self.scale in file.scales and name in (file.read_by or [name]))

    def _needed(self, need: str, name: str, axes: Mapping[str, Any]) -> tuple[Node, ...]:
        """The nodes behind a need; on a `jobs:` axis that both have, only those of the same value."""
        if need not in self._parts:
            known = list(self._parts)
            raise ConfigError(
                f"{self.where}: {name}.needs: {need!r}: no such entry at scale {self.scale}{nearest(need, known)}"
            )
        shared = [node for node in self._parts[need] if all(axes.get(a, v) == v for a, v in node.axes.items())]
        if not shared:
            raise ConfigError(f"{self.where}: {name}.needs: {need!r}: no job of it has {dict(axes)}")
        return tuple(shared)

    def _figures_node(self) -> Node:
        drawn = self.figures
        calls = {name: self._figure(name, spec) for name, spec in drawn.items()}
        tables = sorted({need for spec in drawn.values() for need in spec.needs})
        folder = f"figures/{self.path_scale}/{self.spec.study}"
        pictures = [f"{folder}/{name}.{kind}" for name in drawn for kind in ("png", "pdf")]
        return self._finished(
            "figures",
            "figures",
            outputs=(f"{self._results()}/figures.json", *pictures),
            settings={"figures": calls},
            needs={table: tuple(self._parts[table]) for table in tables},
            code=("dynatlas.steps.figures", *sorted({call["call"].partition(":")[0] for call in calls.values()})),
        )

    def _figure(self, name: str, spec: FigureSpec) -> dict[str, Any]:
        where = f"figures.{name}"
        for need in spec.needs:
            if need not in self._parts or self._parts[need][0].step != "measure":
                known = [entry for entry, nodes in self._parts.items() if nodes[0].step == "measure"]
                raise ConfigError(f"{self.where}: {where}.needs: {need!r}: no such measure{nearest(need, known)}")
        call = resolved(self.index, spec.call, self.spec.package, MODULE_OF["figures"], f"{self.where}: {where}")
        check_call(self.index, call, set(spec.needs), f"{self.where}: {where}", job=False)
        return {"call": call, "needs": list(spec.needs)}

    def _captions(self) -> dict[str, list[str]]:
        """Title and caption of every figure: texts that pages and notebooks show, and that nothing is drawn from."""
        return {name: [spec.title, spec.caption] for name, spec in self.figures.items()}

    def _claims_node(self) -> Node:
        """The verdicts. They hold paths and keys of all tables, so that a reader takes these and none beside them."""
        path = claims_path(self.root, self.spec)
        tables = sorted(_tables(read_yaml(path)))
        shown = path.relative_to(self.root)
        for table in tables:
            if table not in self.spec.measures:
                raise ConfigError(f"{shown}: table: {table!r}: no such measure{nearest(table, self.spec.measures)}")
        return self._finished(
            "claims",
            "claims",
            outputs=(f"{self._results()}/claims.json",),
            settings={
                "file": str(shown),
                "digest": file_digest(path),
                "lock": digest([canonical(read_lock(self.root).get(self.spec.study, {}))]),
                "tables": self._table_keys(),
            },
            needs={table: tuple(self._parts[table]) for table in tables if table in self._parts},
            seeds=self._seeds(self.arguments.numbers.values["seeds"]),
            code=("dynatlas.steps.claims",),
        )

    def _table_keys(self) -> dict[str, dict[str, str]]:
        """Of every measure, where its parts lie and the key of each."""
        measures = {name: nodes for name, nodes in self._parts.items() if nodes[0].step == "measure"}
        return {name: {node.outputs[0]: node.key for node in nodes} for name, nodes in measures.items()}

    def _notebook_node(self, claims: Node, figures: Node) -> Node:
        path = notebook_path(self.root, self.spec.study)
        if not path.exists():
            raise ConfigError(f"{self.where}: the study has no notebook; write workflow/notebooks/{self.spec.study}.py")
        measures = {name: tuple(nodes) for name, nodes in self._parts.items() if nodes[0].step == "measure"}
        return self._finished(
            "notebook",
            "notebook",
            outputs=(f"{self._results()}/notebook.html", f"{self._results()}/notebook.ipynb"),
            settings={
                "file": str(path.relative_to(self.root)),
                "digest": file_digest(path),
                "figures": self._captions(),
                "templates": templates_digest(self.root),
            },
            needs={"claims": (claims,), "figures": (figures,), **measures},
            code=("dynatlas.steps.notebook", "dynatlas.site.reader"),
        )

    def _page_node(self, claims: Node, figures: Node, notebook: Node) -> Node:
        readme = study_folder(self.root, self.spec) / "README.md"
        if not readme.exists():
            raise ConfigError(f"{self.where}: the study has no {readme.relative_to(self.root)}")
        texts = {
            "readme": {"file": str(readme.relative_to(self.root)), "digest": file_digest(readme)},
            "libraries": self.versions,
            "paper": self.spec.paper.model_dump(),
            "figures": self._captions(),
            "kept": dict(self.kept),
            "numbers": [asdict(row) for row in number_rows(self.spec, signatures_of(self.index))],
            "templates": templates_digest(self.root),
        }
        return self._finished(
            "page",
            "page",
            outputs=tuple(
                f"results/{self.path_scale}/site/{self.spec.study}{end}" for end in (".html", "-notebook.html")
            ),
            settings=texts,
            needs={"claims": (claims,), "figures": (figures,), "notebook": (notebook,)},
            code=("dynatlas.steps.site",),
        )

    def _finished(self, step: str, name: str, *, code: Sequence[str], **rest: Any) -> Node:
        node = Node(
            step=step,
            study=self.spec.study,
            name=name,
            scale=self.path_scale,
            base_seed=self.config.base_seed,
            fingerprint=code_digest(self.index, *code),
            **rest,
        )
        return keyed(node)

    def _results(self) -> str:
        return f"results/{self.path_scale}/{self.spec.study}"


def keyed(node: Node) -> Node:
    """The node with its key filled in."""
    return replace(node, key=node.compute_key())


def _slug(value: Any) -> str:
    """A value as it may stand in a file name."""
    return re.sub(r"[^\w.+-]", "-", str(value))


def _tables(content: Any) -> set[str]:
    """Every value of a key `table` in a claims file."""
    if isinstance(content, list):
        return set().union(*(_tables(item) for item in content)) if content else set()
    if not isinstance(content, dict):
        return set()
    own = {content["table"]} if isinstance(content.get("table"), str) else set()
    return own.union(*(_tables(item) for item in content.values()))


def _in_order(entries: Mapping[str, tuple[str, NodeSpec]], where: str) -> list[str]:
    """Names so that each stands after what it needs. Raises ConfigError naming a cycle."""
    done: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circle = " -> ".join((*trail[trail.index(name) :], name))
            raise ConfigError(f"{where}: needs: a cycle: {circle}")
        if name in done or name not in entries:
            return
        for need in entries[name][1].needs:
            visit(need, (*trail, name))
        done.append(name)

    for name in entries:
        visit(name, ())
    return done
