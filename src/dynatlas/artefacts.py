"""The only reader and writer of runs, tables, ledgers and figures: atomic, sealed, with provenance inside.

An artefact is *sealed*: the SHA-256 of all its bytes stands in its own header, taken with 64 zeros in its place. So one
flipped byte anywhere is noticed. Its provenance holds the `key` of the node that made it; a reader says which key it
expects, and a valid file from elsewhere under this name is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynatlas.names import nearest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from dynatlas.jobs import Run
    from dynatlas.table_schema import TableSchema

BLANK = b"0" * 64
# JSON, safetensors' header and parquet's footer all hold the key, a few bytes of punctuation, then the digest.
SEAL = re.compile(rb"sha256\W{1,6}([0-9a-f]{64})")
TABLE_COLUMNS = ("seed", "metric", "value")


class ArtefactError(Exception):
    """An artefact is missing, damaged, or not the one that is expected here."""


def remake(path: Path) -> str:
    """The command that makes an artefact again."""
    return f"to make it again: snakemake --force {path}"


def write_bytes(path: Path, raw: bytes) -> None:
    """Write `raw` under a temporary name in the same folder, then move it into place.

    Raises ArtefactError naming the file if the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ArtefactError(f"{path} could not be written: {error.strerror}; nothing bears that name") from error


def seal(raw: bytes, *, last: bool = False) -> bytes:
    """Fill the first (or last) blank seal in `raw` with the digest of `raw`."""
    start, stop = _seal_span(raw, last)
    if raw[start:stop] != BLANK:
        raise ValueError("the bytes hold no blank seal")
    return raw[:start] + hashlib.sha256(raw).hexdigest().encode() + raw[stop:]


def check_seal(raw: bytes, path: Path, *, last: bool = False) -> str:
    """The digest that seals `raw`; raises ArtefactError naming `path` if it is absent or wrong."""
    try:
        start, stop = _seal_span(raw, last)
    except ValueError:
        raise ArtefactError(f"{path} is damaged: it holds no seal (truncated or emptied?); {remake(path)}") from None
    blank = raw[:start] + BLANK + raw[stop:]
    if hashlib.sha256(blank).hexdigest().encode() != raw[start:stop]:
        raise ArtefactError(f"{path} is damaged: its content does not match its own SHA-256; {remake(path)}")
    return raw[start:stop].decode()


def _seal_span(raw: bytes, last: bool) -> tuple[int, int]:
    found = list(SEAL.finditer(raw)) if last else [match for match in [SEAL.search(raw)] if match]
    if not found:
        raise ValueError("no seal")
    return found[-1].span(1)


def read_sealed(path: Path, *, last: bool = False) -> bytes:
    """All bytes of a sealed file, its seal checked. Raises ArtefactError if it is missing or damaged."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ArtefactError(f"{path} does not exist; {remake(path)}") from None
    except OSError as error:
        raise ArtefactError(f"{path} could not be read: {error.strerror}") from error
    check_seal(raw, path, last=last)
    return raw


def check_key(path: Path, provenance: Mapping[str, Any], key: str | None) -> None:
    """Refuse an artefact whose node is not the one that the plan expects under this name."""
    if key is not None and provenance.get("key") != key:
        made_by = "/".join(str(provenance.get(part, "?")) for part in ("scale", "study", "node"))
        raise ArtefactError(
            f"{path} is not what the plan expects here: it was made by {made_by} with other settings, code or inputs "
            f"(key {str(provenance.get('key'))[:12]}, expected {key[:12]}); {remake(path)}"
        )


# ---------------------------------------------------------------- json


def dump_json(provenance: Mapping[str, Any], content: Mapping[str, Any]) -> bytes:
    """`{"sha256": ..., "provenance": ..., **content}` as sealed JSON; numbers must be finite.

    The seal comes first: provenance and content may hold other digests.
    """
    whole = {"sha256": BLANK.decode(), "provenance": dict(provenance), **content}
    return seal(json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False).encode() + b"\n")


def write_json(path: Path, provenance: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write sealed JSON (see `dump_json`)."""
    write_bytes(path, dump_json(provenance, content))


def read_json(path: Path, *, key: str | None = None) -> dict[str, Any]:
    """A sealed JSON file, checked against its seal and, where given, the expected key."""
    raw = read_sealed(path)
    check_key(path, _provenance(raw, path), key)
    return json.loads(raw)


# ---------------------------------------------------------------- runs


def write_run(path: Path, provenance: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write arrays (torch tensors, numpy arrays, numbers) and groups of them by name, as sealed safetensors.

    Shapes and types come back, and of a `dynatlas.members.Group` its members: its axes stand in the file's header.
    Raises ValueError naming an array that holds no numbers, or numbers of a type that the format has not.
    """
    from safetensors.numpy import save

    flat, groups = _apart(arrays)
    plain = {name: _as_numpy(array, name) for name, array in flat.items()}
    short = {name for name, array in flat.items() if str(getattr(array, "dtype", "")) == BFLOAT16}
    header = {"sha256": BLANK.decode(), "provenance": json.dumps(dict(provenance), ensure_ascii=True)}
    header |= {"groups": json.dumps(groups, ensure_ascii=True)} if groups else {}
    write_bytes(path, seal(_seal_first(save(plain, header), short)))


def _apart(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All arrays by the names that they have in the file, and of each group its axes and which arrays are its own."""
    from dynatlas.members import Group

    flat: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for name, given in arrays.items():
        own = {f"{name}.{part}": array for part, array in given.items()} if isinstance(given, Group) else {name: given}
        twice = sorted(set(flat) & set(own))
        if twice:
            raise ValueError(f"the run has two arrays {twice[0]!r}: one that is called so, and one of a group")
        flat |= own
        if isinstance(given, Group):
            groups[name] = {"axes": given.members.axes, "arrays": dict(zip(given, own, strict=True))}
    return flat, groups


def read_run(path: Path, *, key: str | None = None) -> Run:
    """The arrays (torch tensors) and groups of a run, in the order of their names, with its seeds and settings."""
    from safetensors.torch import load

    from dynatlas.jobs import Run
    from dynatlas.members import Group, Members

    raw = read_sealed(path)
    provenance = _provenance(raw, path)
    check_key(path, provenance, key)
    found: dict[str, Any] = load(raw)  # in an order that changes from call to call
    for name, group in json.loads(_metadata(raw).get("groups", "{}")).items():
        own = {part: found.pop(stored) for part, stored in group["arrays"].items()}
        found[name] = Group(Members(**group["axes"]), own)
    ordered = {name: found[name] for name in sorted(found)}
    return Run(ordered, seeds=provenance["seeds"], settings=provenance["settings"])


def run_provenance(raw: bytes) -> dict[str, Any]:
    """The provenance in the header of a run's bytes."""
    return json.loads(_metadata(raw)["provenance"])


def _metadata(raw: bytes) -> dict[str, str]:
    """The texts in the header of safetensors' bytes."""
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size])["__metadata__"]


def check_stacked(arrays: Mapping[str, Any], stacked: Mapping[str, Sequence[Any]]) -> None:
    """Raise ArtefactError if an axis that is declared `stacked:` is none of a run's groups, with all its labels."""
    from dynatlas.members import Group

    members = [group.members for group in arrays.values() if isinstance(group, Group)]
    for axis, labels in stacked.items():
        known = sorted({name for one in members for name in (*one.axes, *one.fields)})
        found = [one.labels(axis) for one in members if axis in (*one.axes, *one.fields)]
        if not any(all(label in own for label in labels) for own in found):
            raise ArtefactError(
                f"stacked: {axis}: {labels}: no group of the run has these labels on an axis or field {axis!r}"
                f"{nearest(axis, known)} (there are: {', '.join(known) or 'no groups'})"
            )


BFLOAT16 = "torch.bfloat16"
KEPT = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
)
"""numpy's types that safetensors has too; torch's bfloat16 is kept beside them."""


def _as_numpy(array: Any, name: str) -> np.ndarray:
    """The numbers of an array in C order, of its own shape; bfloat16, which numpy has not, as the bits of int16."""
    import numpy as np

    if isinstance(array, np.ma.MaskedArray):
        raise ValueError(f"array {name!r} of the run is masked, and a run keeps no mask; fill it first")
    try:
        whole = _from_torch(array) if hasattr(array, "detach") else np.asarray(array, order="C")
    except (TypeError, RuntimeError, ValueError) as error:  # sparse, quantised; rows of different lengths
        raise ValueError(f"array {name!r} of the run: {error}; a run keeps dense numbers: {', '.join(KEPT)}") from None
    if whole.dtype.name not in KEPT:
        what = {"O": "Python objects", "U": "text", "S": "text"}.get(whole.dtype.kind, str(whole.dtype))
        raise ValueError(
            f"array {name!r} of the run holds {what}; a run keeps numbers: {', '.join(KEPT)}, bfloat16. Words belong "
            "into `with:` in the study's yaml, and come back as `run.settings`"
        )
    return whole


def _from_torch(tensor: Any) -> np.ndarray:
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if str(plain.dtype) == BFLOAT16:
        import torch

        plain = plain.view(torch.int16)
    return plain.numpy()


def _seal_first(raw: bytes, short: Iterable[str] = ()) -> bytes:
    """Put the seal before all else in a safetensors header (its writer's order of metadata is not fixed).

    The provenance may itself hold other digests; the first one in the file must be the seal. Same length, so that
    offsets stay. The arrays `short` are called what they are: bfloat16, written as their bits.
    """
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    meta = header.pop("__metadata__")
    for name in short:
        header[name]["dtype"] = "BF16"
    ordered = {"__metadata__": {"sha256": meta.pop("sha256")} | dict(sorted(meta.items()))}
    ordered |= dict(sorted(header.items(), key=lambda item: item[1]["data_offsets"]))
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + raw[8 + size :]


# ---------------------------------------------------------------- tables


def check_table(frame: pd.DataFrame, schema: TableSchema | None = None) -> None:
    """Raise ArtefactError if `frame` is no tidy table (columns, no missing value, unique rows), or not as declared."""
    missing = [column for column in TABLE_COLUMNS if column not in frame.columns]
    if missing:
        raise ArtefactError(f"a table needs the columns {', '.join(TABLE_COLUMNS)}; missing: {', '.join(missing)}")
    for column, kinds, wanted in (("seed", "iu", "whole numbers"), ("value", "iufb", "numbers")):
        if frame[column].dtype.kind not in kinds and not frame[column].isna().any():
            raise ArtefactError(f"column {column} holds {frame[column].dtype}; wanted are {wanted}")
    holes = frame.columns[frame.isna().any()].tolist()
    if holes:
        first = frame[frame[holes].isna().any(axis=1)].iloc[0].to_dict()
        raise ArtefactError(f"missing value (NaN) in column {', '.join(holes)}, first in row {first}")
    labels = [column for column in frame.columns if column != "value"]
    twice = frame[frame.duplicated(labels)]
    if len(twice):
        first = twice.iloc[0].to_dict()
        raise ArtefactError(f"{len(twice)} rows are not unique in ({', '.join(labels)}), first: {first}")
    problems = list(schema.problems(frame)) if schema else []
    if problems:
        raise ArtefactError("\n".join(problems))


def write_table(path: Path, provenance: Mapping[str, Any], frame: pd.DataFrame) -> None:
    """Write a frame as sealed parquet, provenance in the file's footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False).replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
        # the footer ends the file, so the seal is the last match in its bytes
        writer.add_key_value_metadata({"provenance": json.dumps(dict(provenance)), "sha256": BLANK.decode()})
    write_bytes(path, seal(sink.getvalue().to_pybytes(), last=True))


def read_table(*paths: Path, keys: Sequence[str | None] | None = None) -> pd.DataFrame:
    """The rows of one table, or of the parts of one, each checked against its seal and expected key."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for path, key in zip(paths, keys or [None] * len(paths), strict=True):
        raw = read_sealed(path, last=True)
        check_key(path, _provenance(raw, path), key)
        parts.append(pq.read_table(pa.BufferReader(raw)).to_pandas())
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def table_provenance(raw: bytes) -> dict[str, Any]:
    """The provenance in the footer of a table's bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return json.loads(pq.read_metadata(pa.BufferReader(raw)).metadata[b"provenance"])


def provenance_of(path: Path) -> dict[str, Any]:
    """The provenance that a sealed artefact (run, table or JSON) carries."""
    return _provenance(read_sealed(path, last=path.suffix == ".parquet"), path)


def _provenance(raw: bytes, path: Path) -> dict[str, Any]:
    """The provenance in the bytes of an artefact. Raises ArtefactError if they are not what the file's name says."""
    parse = {".parquet": table_provenance, ".safetensors": run_provenance}.get(path.suffix, _json_provenance)
    try:
        return parse(raw)
    except (ValueError, KeyError, TypeError, OSError):  # pyarrow's errors are among these
        raise ArtefactError(f"{path} is whole, but another kind of file than its name says; {remake(path)}") from None


def _json_provenance(raw: bytes) -> dict[str, Any]:
    return json.loads(raw)["provenance"]


# ---------------------------------------------------------------- figures


def write_files(folder: Path, manifest: Path, *, provenance: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write `files` (name -> bytes) into `folder`, and beside the results a sealed manifest of their digests."""
    for name, raw in files.items():
        write_bytes(folder / name, raw)
    write_json(manifest, provenance, {"files": {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}})


def read_file(folder: Path, manifest: Path, *, name: str, key: str | None = None) -> bytes:
    """One file of a manifest, checked against the digest that the manifest holds for it."""
    expected = read_json(manifest, key=key)["files"]
    if name not in expected:
        raise ArtefactError(f"{manifest} knows no {name}; it holds: {', '.join(sorted(expected))}")
    try:
        raw = (folder / name).read_bytes()
    except OSError as error:
        raise ArtefactError(f"{folder / name} could not be read: {error.strerror}; {remake(folder / name)}") from error
    if hashlib.sha256(raw).hexdigest() != expected[name]:
        raise ArtefactError(f"{folder / name} is damaged: not the file that {manifest} lists; {remake(folder / name)}")
    return raw
