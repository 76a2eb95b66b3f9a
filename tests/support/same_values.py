"""Do two folders of results hold the same numbers? By value: keys, bytes and the division into jobs may differ.

    python tests/support/same_values.py BEFORE AFTER [--scale smoke] [--studies A B] [--renamed OLD=NEW ...]

All tables of a study's measure count as one, and so do their rows in any order; 1 and 1.0 are one value of a condition.
Numbers are compared bit for bit. Prints one line for each table and each claim that differs, lists the rows that came
or went, and ends with 1 if a number moved or went; rows that came are no failure.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

SHOWN = 5
"""Rows of a kind that are printed."""
ATLAS_COLUMNS = ("study", "experiment")
"""What the atlas adds to a table; the file's own name says it too."""
LEDGER_TEXTS = ("claim_hash",)
"""Parts of a verdict that hash how a claim is written, not what came out."""
Row = tuple[tuple[str, Hashable], ...]


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of one study, by measure; the parts of a measure that is split into jobs are joined."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for path in sorted((folder / "tables").glob("*.parquet")):
        parts.setdefault(path.stem.partition("@")[0], []).append(pd.read_parquet(path))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}


def rows_of(table: pd.DataFrame, renamed: Mapping[str, str]) -> dict[Row, str]:
    """Each row's number in hexadecimal digits, by its conditions."""
    table = table.drop(columns=[name for name in ATLAS_COLUMNS if name in table]).rename(columns=dict(renamed))
    names = sorted(set(table.columns) - {"value"})
    columns = [[_plain(value) for value in table[name]] for name in names]
    keys = (tuple(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return {key: float(value).hex() for key, value in zip(keys, table["value"], strict=True)}


def _plain(value: Any) -> Hashable:
    """A condition as one Python value, so that 1, 1.0 and numpy's are one; truth values are words."""
    value = value.item() if hasattr(value, "item") else value
    return str(value) if isinstance(value, bool) else value


def claims_of(folder: Path) -> dict[str, str]:
    """Every number and word of a study's verdicts, by where it stands."""
    path = folder / "claims.json"
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {f"{row['id']}{at}": text for row in rows for at, text in _leaves(row, "")}


def _leaves(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in LEDGER_TEXTS:
                yield from _leaves(item, f"{at}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{at}[{place}]")
    else:
        yield at, value.hex() if isinstance(value, float) else repr(value)


def differences(before: Mapping[Any, str], after: Mapping[Any, str]) -> tuple[list[str], bool]:
    """What changed, a line each of the first few of a kind, and whether a number moved or went."""
    both = [key for key in before if key in after]
    kinds = {
        "moved": [f"{key}: {before[key]} -> {after[key]}" for key in both if before[key] != after[key]],
        "went": [f"{key}: {before[key]}" for key in before if key not in after],
        "came": [f"{key}: {after[key]}" for key in after if key not in before],
    }
    lines = [f"{len(found)} {kind}" for kind, found in kinds.items() if found]
    lines += [f"    {kind}: {line}" for kind, found in kinds.items() for line in found[:SHOWN]]
    return lines, bool(kinds["moved"] or kinds["went"])


def compare(before: Path, after: Path, renamed: Mapping[str, str]) -> Iterator[tuple[str, list[str], bool]]:
    """For each table and the claims of one study: its name, what changed, and whether that is a failure."""
    old, new = tables_of(before), tables_of(after)
    if not old:
        yield "tables", [f"none in {before}"], True
    for name in sorted({*old, *new}):
        rows = [rows_of(tables[name], renamed) if name in tables else {} for tables in (old, new)]
        yield name, *differences(*rows)
    yield "claims", *differences(claims_of(before), claims_of(after))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--studies", nargs="*")
    parser.add_argument("--renamed", nargs="*", default=[], help="condition columns: OLD=NEW")
    given = parser.parse_args()
    renamed = dict(pair.split("=") for pair in given.renamed)
    results = given.before / "results" / given.scale
    studies = given.studies or sorted(path.name for path in results.iterdir() if (path / "tables").is_dir())
    failed = 0
    for study in studies:
        for name, lines, wrong in compare(results / study, given.after / "results" / given.scale / study, renamed):
            failed += wrong
            print(f"{study} {name}: {'; '.join(lines[:1]) or 'the same'}")
            for line in lines[1:]:
                print(f"  {line}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
