"""Whatever a file claims to be: reading it ends in rows or in one line, in bounded memory, and writes nowhere else."""

import gzip
import io
import json
import random
import zipfile

import pytest

from pipeline.common.errors import UserError
from pipeline.ingest import file_formats, unpacking_limits, workbook_rows
from pipeline.ingest.file_formats import members, unpack

KEY = "data.sources.leads"
OFFICE = "http://schemas.openxmlformats.org"
RELATED = f"{OFFICE}/officeDocument/2006/relationships"
SHEET = f"{OFFICE}/spreadsheetml/2006/main"
OPEN = "urn:oasis:names:tc:opendocument:xmlns"


def packed(parts: dict[str, str | bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def xlsx(cells: str, texts: tuple[str, ...] = ()) -> bytes:
    """Write a workbook of one sheet, given the XML of its rows."""
    target = 'Type="{0}/{1}" Target="{2}"'
    links = f'<Relationships xmlns="{OFFICE}/package/2006/relationships">{{}}</Relationships>'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    part = f'<Override PartName="/xl/{{}}.xml" ContentType="{kind}.{{}}+xml"/>'
    kinds = (("workbook", "sheet.main"), ("worksheets/sheet1", "worksheet"), ("sharedStrings", "sharedStrings"))
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types">'
            + "".join(part.format(*kind) for kind in kinds) + "</Types>",
            "_rels/.rels": links.format(
                f'<Relationship Id="r1" {target.format(RELATED, "officeDocument", "xl/workbook.xml")}/>'),
            "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{RELATED}"><sheets>'
            '<sheet name="Leads" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": links.format(
                f'<Relationship Id="r1" {target.format(RELATED, "worksheet", "worksheets/sheet1.xml")}/>'
                f'<Relationship Id="r2" {target.format(RELATED, "sharedStrings", "sharedStrings.xml")}/>'),
            "xl/sharedStrings.xml": f'<sst xmlns="{SHEET}">{"".join(f"<si><t>{t}</t></si>" for t in texts)}</sst>',
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}"><sheetData>{cells}</sheetData></worksheet>',
        }
    )  # fmt: skip


def ods(rows: str) -> bytes:
    """Write an open document of one sheet, given the XML of its rows."""
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    spaces = " ".join(f'xmlns:{name}="{OPEN}:{name}:1.0"' for name in ("office", "table", "text"))
    return packed(
        {
            "mimetype": kind,
            "META-INF/manifest.xml": f'<m:manifest xmlns:m="{OPEN}:manifest:1.0">'
            f'<m:file-entry m:full-path="/" m:media-type="{kind}"/></m:manifest>',
            "content.xml": f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            f'<table:table table:name="Leads">{rows}</table:table></office:spreadsheet></office:body>'
            "</office:document-content>",
        }
    )  # fmt: skip


def row(number: int, *texts: str) -> str:
    cells = (f'<c r="{"ABC"[n]}{number}" t="inlineStr"><is><t>{text}</t></is></c>' for n, text in enumerate(texts))
    return f'<row r="{number}">{"".join(cells)}</row>'


def open_row(*texts: str, more: str = "") -> str:
    cells = (
        f'<table:table-cell office:value-type="string" {more}><text:p>{t}</text:p></table:table-cell>' for t in texts
    )
    return f"<table:table-row>{''.join(cells)}</table:table-row>"


TABLE = "lead_id,created_at\nL1,2026-01-02\nL2,2026-01-03\n"
PAGE = "<html><body><table><tr><th>lead_id</th></tr><tr><td>L1</td></tr><tr><td>L2</td></tr></table></body></html>"
HONEST = {
    "leads.xlsx": xlsx(row(1, "lead_id", "created_at") + row(2, "L1", "2026-01-02")),
    "leads.ods": ods(open_row("lead_id", "created_at") + open_row("L1", "2026-01-02")),
    "leads.zip": packed({"leads.csv": TABLE}),
    "workbook.zip": packed({"leads.xlsx": xlsx(row(1, "lead_id") + row(2, "L1"))}),
    "leads.csv.gz": gzip.compress(TABLE.encode()),
    "leads.xls": PAGE.encode(),
    "leads.json": json.dumps(
        {"results": [{"properties": {"lead_id": "L1"}}, {"properties": {"lead_id": "L2"}}]}
    ).encode(),
}


def read(folder, name: str, content: bytes, part: str = ""):
    """Read a file; give what it was read as, or the one line that refused it."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    try:
        return unpack(folder / name, part, KEY, scratch)
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert KEY in said
    return said


@pytest.mark.parametrize("name", HONEST)
def test_the_files_that_are_spoilt_here_are_read_as_they_are(tmp_path, name):
    found = read(tmp_path, name, HONEST[name])
    assert not isinstance(found, str), found
    content = gzip.decompress(HONEST[name]) if name.endswith(".gz") else found.path.read_bytes()
    assert b"L1" in content


@pytest.mark.parametrize("name", [name for name in HONEST if name != "workbook.zip"])
def test_a_damaged_file_is_rows_or_one_line(tmp_path, name):
    """Workbooks cost a process each, so that they are damaged less often."""
    draw, content = random.Random(name), HONEST[name]
    for _ in range(6 if name.endswith(("xlsx", "ods")) else 150):
        damaged = bytearray(content)
        for _ in range(draw.choice((1, 3, 30))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        read(tmp_path, name, bytes(damaged[: draw.choice((len(damaged), draw.randrange(1, len(damaged))))]))


BOMBS = {
    "a cell in the last corner": ("leads.xlsx", xlsx(
        row(1, "lead_id") + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')),
    "one long text in every cell": ("leads.xlsx", xlsx(
        "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 5_000)), ("x" * 1_000_000,))),
    "a cell repeated": ("leads.ods", ods(open_row("x", more='table:number-columns-repeated="16384"').replace(
        "<table:table-row>", '<table:table-row table:number-rows-repeated="1048576">'))),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_workbook_that_claims_more_than_it_holds_is_one_line(tmp_path, monkeypatch, bomb):
    monkeypatch.setattr(workbook_rows, "SHARE", 0)
    monkeypatch.setattr(workbook_rows, "_LEAST_BYTES", 256 << 20)
    name, content = BOMBS[bomb]
    found = read(tmp_path, name, content)
    assert isinstance(found, str)
    assert "leads" in found
    assert members(tmp_path / name) in ([], ["Leads"])


def test_an_archive_in_an_archive_is_refused_however_often_it_holds_itself(tmp_path):
    inner = packed({"leads.csv": TABLE})
    for _ in range(30):
        inner = packed({"more.zip": inner}, zipfile.ZIP_STORED)
    assert "more.zip lies packed in leads.zip" in read(tmp_path, "leads.zip", inner)


def test_what_lies_packed_in_an_archive_is_held_against_the_archive_s_size(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking_limits, "FREE_BYTES", 1 << 20)
    member = gzip.compress(random.Random(1).randbytes(100) * 200)
    content = gzip.compress(b"") + member * 1_000
    assert len(content) * unpacking_limits.RATIO_LIMIT > 20_000 * 1_000, "by itself it passes"
    assert "unpacks to more" in read(tmp_path, "leads.zip", packed({"leads.csv.gz": content}))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("leads.zip", packed({"../../leads.csv": TABLE, "/etc/leads.csv": TABLE}), "holds 2 tables"),
        ("leads.zip", packed({"l" * 300 + ".csv": TABLE}), "cannot be unpacked"),
        ("leads.zip", packed({"leads.csv": TABLE}).replace(b"\x08\x00", b"\x09\x00"), "cannot be unpacked"),
        ("leads.json", b"[" * 200_000, "nested too deeply"),
        ("leads.json", b'{"results": ' * 100_000, "nested too deeply"),
        ("leads.zip", b"PK\x03\x04" + b"\x00" * 100, "cannot be unpacked"),
        ("leads.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 600, "cannot read the workbook"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, content, said):
    found = read(tmp_path, name, content)
    assert isinstance(found, str), found
    assert said in found


def test_a_member_s_name_writes_nowhere_else(tmp_path):
    found = read(tmp_path, "leads.zip", packed({"../../../leads.csv": TABLE}))
    assert found.path.parent.parent == tmp_path / "scratch"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leads.zip", "scratch"]


def test_the_text_of_one_huge_cell_is_joined_once():
    """Joining its pieces one by one would copy all of it for each."""
    reader = file_formats._TableReader()
    reader.feed("<table><tr><td>" + "x<br>" * 10_000 + "</td></tr></table>")
    (cell,) = reader.tables[0][0]
    assert len(cell) == 20_000
