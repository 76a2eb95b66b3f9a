"""Put the quick ledger, beside what is kept of standard, and one figure into README.md: make readme."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIGURE = "task-primitives/accuracy.png"


def put(text: str, block: str, content: str) -> str:
    """`text` with what stands between the two comments of `block` replaced."""
    return re.sub(
        rf"(<!-- {block} -->\n).*?(<!-- /{block} -->)", lambda m: f"{m[1]}{content}\n{m[2]}", text, count=1, flags=re.S
    )


ledger = subprocess.run(
    [
        sys.executable,
        "-m",
        "dynatlas",
        "ledger",
        *["--scale", "quick", "--format", "markdown", "--brief", "--beside", "standard"],
    ],
    capture_output=True,
    text=True,
    check=True,
    cwd=ROOT,
).stdout
image = ROOT / "docs" / "images" / FIGURE.replace("/", "-")
image.parent.mkdir(parents=True, exist_ok=True)
shutil.copy(ROOT / "figures" / "quick" / FIGURE, image)
readme = ROOT / "README.md"
text = put(readme.read_text(), "figure", f"![{FIGURE}]({image.relative_to(ROOT)})")
readme.write_text(put(text, "ledger", ledger.strip()))
