"""Put the quick ledger, beside what is kept of standard, and one figure into README.md: make readme."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from dynatlas.config import read_yaml
from dynatlas.site.content import alternative

ROOT = Path(__file__).parents[1]
STUDY, FIGURE = "task-primitives", "accuracy"


def put(text: str, block: str, content: str) -> str:
    """`text` with what stands between the two comments of `block` replaced."""
    return re.sub(
        rf"(<!-- {block} -->\n).*?(<!-- /{block} -->)", lambda m: f"{m[1]}{content}\n{m[2]}", text, count=1, flags=re.S
    )


command = ["-m", "dynatlas", "ledger", "--scale", "quick", "--format", "markdown", "--brief", "--beside", "standard"]
ledger = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, cwd=ROOT).stdout
image = ROOT / "docs" / "images" / f"{STUDY}-{FIGURE}.png"
image.parent.mkdir(parents=True, exist_ok=True)
shutil.copy(ROOT / "figures" / "quick" / STUDY / f"{FIGURE}.png", image)
declared = read_yaml(ROOT / "config" / "studies" / f"{STUDY}.yaml")["figures"][FIGURE]
words = alternative(declared["title"], declared["caption"])
readme = ROOT / "README.md"
text = put(readme.read_text(), "figure", f"![{words}]({image.relative_to(ROOT)})")
readme.write_text(put(text, "ledger", ledger.strip()))
