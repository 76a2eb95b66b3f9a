"""The page step (one study) and the index step (the whole atlas)."""

from __future__ import annotations

from pathlib import Path

from dynatlas import artefacts
from dynatlas.claims.kept import Kept, read_kept
from dynatlas.nodes import ROOT, Node
from dynatlas.site.content import Ancestor, FigureEntry, GuideLink, StudyLink, StudyPage
from dynatlas.site.pages import in_site
from dynatlas.site.render import render_index, render_study


def run_node(node: Node) -> None:
    """Render a study's page, with its notebook beside it, or the front page over the ledger."""
    if node.step == "index":
        links = [
            StudyLink(
                study,
                title,
                f"{study}.html",
                cover=cover(node.needs[study], node.settings["covers"][study]),
                kept=kept_ledgers(node.needs[study][0]),
            )
            for study, title in node.settings["papers"].items()
        ]
        (ledger,) = node.needs["ledger"]
        guides = [GuideLink(title, f"guides/{name}.html") for name, title in node.settings["guides"].items()]
        front = render_index(artefacts.read_json(Path(ledger.outputs[0]), key=ledger.key), links, guides=guides)
        artefacts.write_bytes(Path(node.outputs[0]), front.encode())
    else:
        page, notebook = (Path(path) for path in node.outputs)
        artefacts.write_bytes(notebook, in_site(Path(node.needs["notebook"][0].outputs[0]).read_bytes()))
        artefacts.write_bytes(page, render_study(study_page(node)).encode())


def cover(nodes: tuple[Node, ...], name: str | None) -> FigureEntry | None:
    """The figure that stands for a study on the front page; None for a study that draws none."""
    if name is None:
        return None
    page, figures = nodes
    title, caption = page.settings["figures"][name]
    return FigureEntry(name, title, caption, _picture(figures, name))


def study_page(node: Node) -> StudyPage:
    """Everything on a study's page, read from what the node needs."""
    (claims,), (figures,) = node.needs["claims"], node.needs["figures"]
    scale, dev = node.scale.removesuffix("-dev"), node.scale.endswith("-dev")
    config = f"--config scale={scale}" + (" seeds=dev" if dev else "")
    return StudyPage(
        study=node.study,
        scale=node.scale,
        paper=node.settings["paper"],
        rows=artefacts.read_json(Path(claims.outputs[0]), key=claims.key)["rows"],
        figures=[
            FigureEntry(
                name=name,
                title=title,
                caption=caption,
                png=_picture(figures, name),
                ancestry=ancestors(figures, name),
                command=f"snakemake figures/{node.scale}/{node.study}/{name}.png",
            )
            for name, (title, caption) in node.settings["figures"].items()
        ],
        readme=(ROOT / str(node.settings["readme"]["file"])).read_text(encoding="utf-8"),
        notebook_href=Path(node.outputs[1]).name,
        command=f"snakemake {node.study} {config}",
        provenance={
            "seeds": f"{claims.seeds[0]}-{claims.seeds[-1]}",
            "base seed": str(node.base_seed),
            "claims": claims.key,
            "figures": figures.key,
            "libraries": node.settings["libraries"],
        },
        draw={"scale": node.scale, "base_seed": node.base_seed, "seeds": {node.study: claims.seeds}},
        kept=kept_ledgers(node),
        numbers=node.settings["numbers"],
    )


def kept_ledgers(page: Node) -> list[Kept]:
    """The ledgers of other scales that stand on a study's page."""
    return [read_kept(ROOT / one["file"], since=one["since"]) for one in page.settings["kept"].values()]


def _picture(figures: Node, name: str) -> bytes:
    manifest, first = Path(figures.outputs[0]), Path(figures.outputs[1])
    return artefacts.read_file(first.parent, manifest, name=f"{name}.png", key=figures.key)


def ancestors(figures: Node, name: str) -> list[Ancestor]:
    """The figure and every node above it, each once."""
    drawn = figures.settings["figures"][name]
    found: dict[str, Ancestor] = {}

    def visit(node: Node) -> None:
        above = [part for parts in node.needs.values() for part in parts]
        found[node.name] = Ancestor(node.name, node.step, tuple(part.name for part in above), node.about)
        for part in above:
            visit(part)

    tables = [part for need in drawn["needs"] for part in figures.needs[need]]
    for table in tables:
        visit(table)
    return [*found.values(), Ancestor(f"{name} (figure)", "figures", tuple(table.name for table in tables))]
