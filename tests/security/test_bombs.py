"""Small inputs that would become huge ones are refused while they are still small."""

import gzip
import zipfile
import zlib

import pytest

from pipeline.common.errors import UserError
from pipeline.ingest import unpacking_limits
from pipeline.ingest.unpacking_limits import check_expansion


@pytest.fixture
def few_bytes(monkeypatch):
    monkeypatch.setattr(unpacking_limits, "FREE_BYTES", 1 << 20)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path, few_bytes, monkeypatch):
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"0" * (1 << 20)
    packed = b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()
    (tmp_path / "leads.csv.gz").write_bytes(packed)
    read = []
    honest = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: read.append(size) or honest(self, size))
    with pytest.raises(UserError, match=r"data\.sources\.leads\.from: leads\.csv\.gz unpacks"):
        check_expansion(tmp_path / "leads.csv.gz", "data.sources.leads.from")
    assert all(0 < size <= 1 << 20 for size in read)
    assert len(read) < 20, "it stops once it is too much"


def test_a_zip_bomb_is_refused_and_a_workbook_of_that_kind_too(tmp_path, few_bytes):
    for name in ("leads.zip", "leads.xlsx"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("leads.csv", b"0" * (8 << 20))
        with pytest.raises(UserError, match="unpacks to more"):
            check_expansion(tmp_path / name, "data.sources.leads.from")


def test_compressed_tables_pass_and_damaged_ones_say_so(tmp_path):
    rows = "".join(f"L{n},2024-01-{n % 28 + 1:02d},web\n" for n in range(20_000)).encode()
    with gzip.open(tmp_path / "leads.csv.gz", "wb") as file:
        file.write(rows)
    with zipfile.ZipFile(tmp_path / "leads.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("leads.csv", rows)
    (tmp_path / "plain.csv").write_bytes(rows)
    for name in ("leads.csv.gz", "leads.zip", "plain.csv"):
        check_expansion(tmp_path / name, "key")
    (tmp_path / "half.csv.gz").write_bytes((tmp_path / "leads.csv.gz").read_bytes()[:-2_000])
    with pytest.raises(UserError, match="damaged"):
        check_expansion(tmp_path / "half.csv.gz", "key")


def doubling(first, line):
    """Lines of which each holds the one before it many times."""
    return f"a0: &a0 {first}\n" + "".join(f"a{n}: &a{n} {line.format(f'*a{n - 1}')}\n" for n in range(1, 12))


BOMBS = {
    "billion laughs": doubling("[x]", "[" + "{0}, " * 9 + "]"),
    "in mappings": doubling("{x: 1}", "{{a: {0}, b: {0}, c: {0}}}"),
    "merged": doubling("{k: 1}", "{{<<: [" + "{0}, " * 9 + "]}}"),
    "itself": "company: &a [*a]\n",
    "itself as its key": "&a ? *a : 1\n",
    "deep": "company: " + "[" * 1_000 + "\n",
    "deep and closed": "company: " + "[" * 500 + "]" * 500 + "\n",
    "huge": "company: x\n" + "# comment\n" * 600_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_yaml_bomb_is_one_line_in_little_memory(tmp_path, name):
    import tracemalloc

    from pipeline.config.params import load_params

    path = tmp_path / "params.yaml"
    path.write_text(BOMBS[name])
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as refused:
            load_params(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_an_honest_alias_still_works(tmp_path):
    from pipeline.config.yaml_loader import read_yaml

    path = tmp_path / "params.yaml"
    path.write_text("columns: &c {lead_id: id}\nleads: {from: a.csv, columns: *c}\ndeals: {<<: *c, from: b.csv}\n")
    assert read_yaml(path)[0]["deals"] == {"lead_id": "id", "from": "b.csv"}
