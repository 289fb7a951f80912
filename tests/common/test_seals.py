"""Files that hold their own seal: read as written, and any change of them is found."""

from __future__ import annotations

import json

import pytest

from pipeline.common.seals import SealError, read_sealed_json, sealed_json

CONTENT = {"verdict": {"use": "yes"}, "cutoffs": [{"auc": 0.1 + 0.2, 30: 1, 180: None}], "company": "Müller"}


def test_what_was_written_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(sealed_json(CONTENT))
    assert read_sealed_json(tmp_path / "a.json", "again") == json.loads(json.dumps(CONTENT))


@pytest.mark.parametrize(("was", "now"), [('"yes"', '"no"'), ("0.30000000000000004", "0.3"), ('"company"', '"other"')])
def test_a_change_is_found(tmp_path, was, now):
    text = sealed_json(CONTENT).decode()
    assert was in text
    (tmp_path / "a.json").write_text(text.replace(was, now))
    with pytest.raises(SealError, match="was changed since it was written: run it again"):
        read_sealed_json(tmp_path / "a.json", "run it again")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"verdict": 1}'])
def test_what_is_no_sealed_file_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SealError, match=r"a\.json: .*run it again$"):
        read_sealed_json(tmp_path / "a.json", "run it again")
