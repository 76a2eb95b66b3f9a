"""Put verdicts and a figure where READMEs show them: make readme.

README.md gets the quick ledger, beside what is kept of standard, and one figure; each study's README the verdicts of
its own claims, between `<!-- verdicts -->` and `<!-- /verdicts -->`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from dynatlas.atlas import Atlas
from dynatlas.claims.ledger import draw_text, verdict_table
from dynatlas.commands.ledger import draw_of, kept_ledgers, study_rows
from dynatlas.config import read_yaml
from dynatlas.places import study_folder
from dynatlas.site.content import alternative

ROOT = Path(__file__).parents[1]
STUDY, FIGURE = "task-primitives", "accuracy"
BESIDE = "standard"


def put(text: str, block: str, content: str) -> str:
    """`text` with what stands between the two comments of `block` replaced."""
    return re.sub(
        rf"(<!-- {block} -->\n).*?(<!-- /{block} -->)", lambda m: f"{m[1]}{content}\n{m[2]}", text, count=1, flags=re.S
    )


def refresh_front() -> None:
    """The ledger and the figure of the project's README."""
    command = ["-m", "dynatlas", "ledger", "--scale", "quick", "--format", "markdown", "--brief", "--beside", BESIDE]
    ledger = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    image = ROOT / "docs" / "images" / f"{STUDY}-{FIGURE}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "figures" / "quick" / STUDY / f"{FIGURE}.png", image)
    declared = read_yaml(ROOT / "config" / "studies" / f"{STUDY}.yaml")["figures"][FIGURE]
    words = alternative(declared["title"], declared["caption"])
    readme = ROOT / "README.md"
    text = put(readme.read_text(), "figure", f"![{words}]({image.relative_to(ROOT)})")
    readme.write_text(put(text, "ledger", ledger.strip()))


def refresh_study(atlas: Atlas, study: str) -> None:
    """The verdicts in a study's README."""
    rows = study_rows(atlas, [study])
    draw = draw_of(atlas, rows)
    table = verdict_table(rows, kept_ledgers(atlas, [study], BESIDE))
    readme = study_folder(atlas.root, atlas.studies[study]) / "README.md"
    readme.write_text(put(readme.read_text(), "verdicts", f"{draw_text(draw)}\n\n{table}"))


if __name__ == "__main__":
    refresh_front()
    quick = Atlas(ROOT, path_scale="quick")
    for name in quick.studies:
        refresh_study(quick, name)
