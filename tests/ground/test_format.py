"""What hands on and keeps values is in no fingerprint; when it hands on or keeps others, FORMAT must be raised."""

import json

import sample_nodes

from dynatlas.fingerprint import FORMAT

AGAIN = "python tests/support/sample_nodes.py"


def test_runs_tables_and_verdicts_hold_what_they_held_at_this_format(tmp_path):
    kept = json.loads(sample_nodes.KEPT.read_text(encoding="utf-8"))
    assert kept.pop("format") == FORMAT, f"FORMAT is {FORMAT}: write what is left behind now, by `{AGAIN}`"
    found = sample_nodes.sample(tmp_path)
    for part, content in kept.items():
        assert found[part] == content, f"files would hold something else: raise FORMAT, then `{AGAIN}`"
    assert found.keys() == kept.keys()
