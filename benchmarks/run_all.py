"""Run every benchmark of this folder in turn: `make bench`. Each prints its table and keeps it, results/benchmarks."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

failed = []
for program in sorted(HERE.glob("*.py")):
    if program.name in ("run_all.py",) or program.name.startswith("_"):
        continue
    print(f"== {program.stem}", flush=True)
    if subprocess.run([sys.executable, str(program)], check=False).returncode:
        failed.append(program.stem)
sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
