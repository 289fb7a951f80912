# ruff: noqa: S608 (SQL here is made of our own names)
"""The same person from web, call centre and CRM is one lead: records are linked, none is lost, and each link says why.

A record that comes within ``data.identity.window_days`` of another system's record of the same person joins its lead.
Its touches and deals become that lead's, its arrival a touch of its own; the row itself stays in the record
(``identity.parquet``). The lead keeps the id, the date and the facts of its first record.

Links never look ahead. Records are taken in the order in which they became known, and each is held against earlier ones
only: so a later record changes neither an earlier link nor what was known of the lead before. A record joins no lead
that was known to be won or lost by then (it is a new enquiry), and a lead has at most one record of each system where
systems are trusted to know their own (``link: across_systems``).

1. *Exact keys*: the same personal mail address, unless the names are two people's; the same phone number and name.
2. *Alike*: pairs that share any key (mail, phone, its last digits, name, company, mail domain) are weighed by
   `pipeline.identity.match_model` and linked from ``data.identity.threshold`` on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from features.firmographics import FREE_MAIL
from pipeline.common.formatting import count as counted
from pipeline.identity.canonical_views import show_one_lead
from pipeline.identity.match_keys import names_agree, people_sql, same_name

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.config.params import IdentityParams

KEYS = {
    "mail": "mail", "phone": "phone", "tail": "tail", "name": "name", "company": "company_head", "domain": "domain",
}  # fmt: skip
NEIGHBOURS = 50
"""Among records with the same key, each is held against at least so many before it, and at most twice as many."""
ONE_PERSONS = 20
"""A mail address or phone number that so many records before had is no one's own, and finds nobody from then on."""
WORTH_TELLING = 0.01
"""Answers below this probability are not kept."""
ALONE = "no other record is like it"
NOT_ENOUGH = "alike, but not enough"
ENDED = "same person as a lead that had ended: a new enquiry"
KEPT_APART = "same person as a lead that has a record of its system"
"""Why a record is a lead of its own."""


@dataclass(frozen=True)
class Identity:
    """What was linked.

    Parameters
    ----------
    why_not : str or None
        Why nothing was looked at; None where records were compared.
    counts : dict of str to int
        ``records``, ``people`` (leads that remain), and ``joined``: per reason, the records that joined another's lead.
    """

    why_not: str | None
    counts: dict[str, Any]

    @property
    def text(self) -> str:
        """What was linked, in a sentence."""
        records, joined = self.counts["records"], self.counts["joined"]
        records_text = f"{records:,} record{'' if records == 1 else 's'} of leads"
        if self.why_not:
            return f"{records_text}, each a lead of its own: {self.why_not}"
        why = ", ".join(f"{n:,} × {reason}" for reason, n in joined.items())
        return f"{records_text} are {counted(self.counts['people'], 'lead', 'leads')}" + (
            f"; joined to another: {why}" if why else ""
        )

    def as_dict(self) -> dict[str, Any]:
        """As ``audit.json`` holds it."""
        return {"text": self.text, "why_not": self.why_not, **self.counts}


def record_at(connection: duckdb.DuckDBPyConnection, as_of: datetime) -> pa.Table:
    """Give what ``identity.parquet`` holds: every record known by then, the lead it belongs to, and why.

    Returns
    -------
    Arrow table
        ``lead_id``; ``canonical_id``: the lead's id, its own for a record that joined none; ``joined_id``: the earlier
        record it was linked to; ``reason``; ``agreement``: how the two compare; ``probability`` that they are one
        person (null where nothing was compared).
    """
    return connection.sql(
        "SELECT * EXCLUDE (known_at) FROM identity WHERE known_at <= $1 ORDER BY lead_id", params=[as_of]
    ).to_arrow_table()


def canonical_id(connection: duckdb.DuckDBPyConnection, lead_id: str) -> str:
    """Give the id of the lead that a record belongs to; an id that nobody knows is given back."""
    found = connection.execute("SELECT canonical_id FROM identity WHERE lead_id = $1", [lead_id]).fetchall()
    return found[0][0] if found else lead_id


def link_records(
    connection: duckdb.DuckDBPyConnection,
    columns: frozenset[str],
    params: IdentityParams,
    seed: int,
    *,
    with_events: bool,
) -> Identity:
    """Link the records of each person, and let the tables show one lead for them.

    Parameters
    ----------
    connection : DuckDB connection
        With ``leads``, ``deals``, ``events`` and ``closings`` as they were loaded; they are replaced where records were
        linked. Gets ``identity``: ``lead_id, canonical_id, joined_id`` (the earlier record it was linked to),
        ``reason, agreement, probability, known_at`` of every record.
    columns : frozenset of str
        The contract's columns that the company's leads have.
    params : IdentityParams
    seed : int
    with_events : bool
        The company has events: the arrival of a joined record becomes one.

    Returns
    -------
    Identity
    """
    why_not = _why_not(connection, columns, params)
    records = int(connection.execute("SELECT count(*) FROM leads").fetchall()[0][0])
    if why_not:
        connection.execute(
            "CREATE VIEW identity AS SELECT lead_id, lead_id AS canonical_id, CAST(NULL AS VARCHAR) AS joined_id, "
            f"'{why_not}' AS reason, CAST(NULL AS VARCHAR) AS agreement, CAST(NULL AS DOUBLE) AS probability, known_at "
            "FROM leads"
        )
        return Identity(why_not, {"records": records, "people": records, "joined": {}})
    own = ", ".join(
        f"CASE WHEN row_number() OVER (PARTITION BY {key} ORDER BY place) <= {ONE_PERSONS} THEN {name} END AS {name}"
        for name, key in (("mail", "mail"), ("phone", "phone"), ("tail", "phone"))
    )
    connection.execute(
        f"CREATE TEMP TABLE people AS SELECT * REPLACE ({own}) FROM ({people_sql('leads', FREE_MAIL)}) ORDER BY place"
    )
    apart = "l.system IS DISTINCT FROM r.system" if params.link == "across_systems" else "true"
    _make_candidates(connection, apart, params.window_days)
    _find_exact(connection)
    _weigh_others(connection, params, apart, seed)
    _write_links(connection, params)
    joined = dict(
        connection.execute(
            "SELECT reason, count(*) AS n FROM identity WHERE joined_id IS NOT NULL "
            "GROUP BY reason ORDER BY n DESC, reason"
        ).fetchall()
    )
    for name in ("people", "candidates", "same_mail", "same_phone", "unsure", "links"):
        connection.execute(f"DROP TABLE {name}")
    if joined:
        show_one_lead(connection, with_events=with_events)
    return Identity(None, {"records": records, "people": records - sum(joined.values()), "joined": joined})


def _why_not(connection: duckdb.DuckDBPyConnection, columns: frozenset[str], params: IdentityParams) -> str | None:
    if params.link == "none":
        return "data.identity.link is none"
    if not columns & {"email", "phone", "name"}:
        return "leads have no email, phone or name"
    if params.link == "across_systems":
        systems = connection.execute("SELECT count(DISTINCT system) FROM leads").fetchall()[0][0]
        if systems < 2:
            return "all leads come from one system"
    return None


def _make_candidates(connection: duckdb.DuckDBPyConnection, apart: str, window_days: int) -> None:
    """Pair each record with those before it that share a key; a key that very many have pairs none of them twice."""
    listed = " UNION ALL ".join(
        f"SELECT place, system, created_at, '{kind}:' || {column} AS key FROM people WHERE {column} IS NOT NULL"
        for kind, column in KEYS.items()
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE keys AS
        SELECT *, row_number() OVER (PARTITION BY key ORDER BY place) // {NEIGHBOURS} AS neighbourhood
        FROM ({listed}) QUALIFY count(*) OVER (PARTITION BY key) > 1
        """
    )
    near = " UNION ".join(
        f"SELECT l.place AS l, r.place AS r FROM keys AS l JOIN keys AS r "
        f"ON l.key = r.key AND l.neighbourhood = r.neighbourhood - {step} AND l.place < r.place "
        f"WHERE {apart} AND abs(datediff('hour', l.created_at, r.created_at)) <= {window_days * 24}"
        for step in (0, 1)
    )
    connection.execute(f"CREATE TEMP TABLE candidates AS SELECT l, r FROM ({near}) ORDER BY r, l; DROP TABLE keys")


def _find_exact(connection: duckdb.DuckDBPyConnection) -> None:
    """Tell the pairs with the same mail or phone, and among them those that need no weighing."""
    codes = "(l.calling_code = r.calling_code OR l.calling_code IS NULL OR r.calling_code IS NULL)"
    for name, condition, is_exact in (
        ("same_mail", "l.mail = r.mail", f"coalesce({names_agree()}, true)"),
        ("same_phone", f"l.phone = r.phone AND {codes} AND {same_name()}", "true"),
    ):
        connection.execute(
            f"CREATE TEMP TABLE {name} AS SELECT c.l, c.r, {is_exact} AS is_exact FROM candidates AS c "
            f"JOIN people AS l ON l.place = c.l JOIN people AS r ON r.place = c.r WHERE {condition}"
        )
    connection.execute(
        """
        CREATE TEMP TABLE links AS
        SELECT l, r, 1.0::DOUBLE AS probability,
            CASE WHEN bool_or(by_mail) THEN 'same mail' ELSE 'same phone and name' END AS reason, reason AS agreement
        FROM (SELECT l, r, true AS by_mail FROM same_mail WHERE is_exact
              UNION ALL SELECT l, r, false FROM same_phone WHERE is_exact) GROUP BY l, r
        """
    )


def _weigh_others(connection: duckdb.DuckDBPyConnection, params: IdentityParams, apart: str, seed: int) -> None:
    """Weigh the candidates of records without an exact link, batch by batch; their best answers go to ``links``."""
    connection.execute(
        f"CREATE TEMP TABLE unsure AS SELECT c.l, c.r FROM candidates AS c JOIN people AS l ON l.place = c.l "
        f"JOIN people AS r ON r.place = c.r WHERE {names_agree()} AND c.r NOT IN (SELECT r FROM links)"
    )
    if not connection.execute("SELECT count(*) FROM unsure").fetchall()[0][0]:
        return
    from pipeline.identity import match_model as model

    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE weighed_people AS SELECT *,
            CASE WHEN name IS NOT NULL THEN (row_number() OVER (PARTITION BY name ORDER BY place)) / (place + 1000.0)
                END AS tf_name,
            CASE WHEN company IS NOT NULL THEN (row_number() OVER (PARTITION BY company ORDER BY place))
                / (place + 1000.0) END AS tf_company
        FROM people
        """
    )
    count = connection.execute("SELECT count(*) FROM people").fetchall()[0][0]
    for first, last in model.batches(count):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE batch AS SELECT * FROM unsure WHERE r BETWEEN {first} AND {last}"
        )
        if not connection.execute("SELECT count(*) FROM batch").fetchall()[0][0]:
            continue
        chances, prior = model.starting_chances(), model.FIRST_PRIOR
        if first > 1:
            chances = model.count_chances(connection, "weighed_people", first - 1, seed)
            prior = model.count_prior(connection, apart, first - 1, params.window_days)
        model.score_pairs(connection, "weighed_people", "batch", prior, chances)
        connection.execute(
            f"INSERT INTO links SELECT place_l, place_r, match_probability, 'alike', {model.agreement_sql()} "
            f"FROM scored WHERE match_probability >= {WORTH_TELLING}"
        )
    for name in ("weighed_people", "batch", "scored", "blocked_pairs", "known_pairs"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def _write_links(connection: duckdb.DuckDBPyConnection, params: IdentityParams) -> None:
    """Let each record in turn join the lead of the earlier record that it is most surely the same person as."""
    ends = dict(
        connection.execute(
            """
            SELECT lead_id, min(known_at) FROM (
                SELECT lead_id, greatest(closed_at, known_at) AS known_at FROM leads
                WHERE status = 'lost' AND closed_at IS NOT NULL
                UNION ALL SELECT lead_id, greatest(closed_at, known_at) FROM closings
                UNION ALL SELECT lead_id, greatest(closed_at, recorded_at) FROM deals
                WHERE outcome <> 'open' AND lead_id IS NOT NULL
            ) WHERE lead_id IN (SELECT lead_id FROM people JOIN links ON place = l OR place = r) GROUP BY lead_id
            """
        ).fetchall()
    )
    rows = connection.execute(
        """
        SELECT l.lead_id, l.system, r.lead_id, r.system, r.known_at, probability, reason, agreement FROM links
        JOIN people AS l ON l.place = links.l JOIN people AS r ON r.place = links.r
        ORDER BY links.r, probability DESC, links.l DESC
        """
    ).fetchall()
    canonical: dict[str, str] = {}
    ended: dict[str, datetime | None] = {}
    systems: dict[str, set[str | None]] = {}
    answers: dict[str, tuple[str, str, str | None, str, str, float]] = {}
    for earlier, its_system, record, system, known_at, probability, reason, agreement in rows:
        if record in canonical:
            continue
        lead = canonical.get(earlier, earlier)
        members = systems.setdefault(lead, {its_system})
        end = ended.setdefault(lead, ends.get(lead))
        if probability < params.threshold:
            answer = NOT_ENOUGH
        elif end is not None and end <= known_at:
            answer = ENDED
        elif params.link == "across_systems" and system in members:
            answer = KEPT_APART
        else:
            canonical[record] = lead
            answers[record] = (record, lead, earlier, reason, agreement, probability)
            members.add(system)
            own = ends.get(record)
            ended[lead] = min((moment for moment in (end, own) if moment is not None), default=None)
            continue
        answers.setdefault(record, (record, record, None, answer, agreement, probability))
    _write_record(connection, list(answers.values()))


def _write_record(
    connection: duckdb.DuckDBPyConnection, answers: list[tuple[str, str, str | None, str, str, float]]
) -> None:
    """Make the table ``identity``: a row for each record, whether it joined another's lead or not."""
    import pyarrow as pa

    text = pa.string()
    schema = pa.schema(
        [("lead_id", text), ("canonical_id", text), ("joined_id", text), ("reason", text), ("agreement", text),
         ("probability", pa.float64())]
    )  # fmt: skip
    columns = zip(*answers, strict=True) if answers else [()] * len(schema)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)
    connection.register("answers", table)
    connection.execute(
        f"""
        CREATE TABLE identity AS
        SELECT people.lead_id, coalesce(answers.canonical_id, people.lead_id) AS canonical_id, answers.joined_id,
            coalesce(answers.reason, '{ALONE}') AS reason, answers.agreement,
            coalesce(answers.probability, 0.0) AS probability, known_at
        FROM people LEFT JOIN answers ON answers.lead_id = people.lead_id ORDER BY place
        """
    )
    connection.unregister("answers")
