# ruff: noqa: S608 (SQL here is made of our own names)
"""How likely two records are one person: the model of Fellegi and Sunter (1969), by splink.

Estimated is P(same person | how name, company, mail, phone and title compare), for pairs of records which share a key.
Each comparison has levels; a level weighs by how often it is met among pairs of one person (m) against pairs of two
people (u). Names and companies that many have weigh less.

Nothing that became known later may change an earlier answer. So records are taken in the order in which they became
known, in batches that grow fourfold; the m and u of a batch are counted on the records before it alone (pairs with the
same mail address or phone number for m, pairs drawn without looking for u), smoothed towards `LEVELS`, which is all
that the first batch has. How many have a name is counted, for each record, among those before it.
"""

from __future__ import annotations

from typing import Any

import duckdb

from pipeline.identity.match_keys import slip

FIRST_BATCH = 2_000
BATCH_GROWTH = 4
PRIOR_PAIRS = {"m": 50, "u": 20_000}
"""How many counted pairs the levels' starting chances weigh as much as."""
DRAWN_PAIRS = 20_000
FIRST_PRIOR = 0.0003
"""Chance that two records within the window are one person, before any have been counted."""
FOUND_BY_KEY_SHARE = 0.7
"""Share of the pairs of one person that share a key, which the chance above is counted by."""


def _slip(column: str) -> str:
    return slip(column, after=("_l", "_r"))


_PART = "list_has_all(names_l, names_r) AND len(names_r) > 0 OR list_has_all(names_r, names_l) AND len(names_l) > 0"
LEVELS: dict[str, list[tuple[str, str, float, float]]] = {
    "name": [
        ("same name", "name_l = name_r", 0.75, 0.0005),
        ("same name but for a part", "initials_l = initials_r AND list_has_any(names_l, names_r)", 0.08, 0.0005),
        ("name but for a slip", _slip("name"), 0.08, 0.0005),
        ("name is a part of the other", _PART, 0.06, 0.005),
        ("", "ELSE", 0.03, 0.9935),
    ],
    "company": [
        ("same company", "company_l = company_r", 0.70, 0.001),
        ("same mail domain", "domain_l = domain_r", 0.10, 0.0005),
        ("company but for a slip", _slip("company"), 0.06, 0.001),
        ("first word of the company", "company_head_l = company_head_r AND length(company_head_l) > 2", 0.09, 0.003),
        ("", "ELSE", 0.05, 0.9945),
    ],
    "mail": [
        ("same mail", "mail_l = mail_r", 0.75, 0.00002),
        ("mail but for a slip", _slip("mail"), 0.06, 0.00002),
        ("", "ELSE", 0.19, 0.99996),
    ],
    "phone": [
        ("same phone", "phone_l = phone_r", 0.80, 0.00005),
        ("same last digits of the phone", "tail_l = tail_r", 0.02, 0.00001),
        ("phone but for a digit", "damerau_levenshtein(phone_l, phone_r) = 1", 0.05, 0.0001),
        ("", "ELSE", 0.13, 0.99984),
    ],
    "title": [("same title", "title_l = title_r", 0.70, 0.10), ("", "ELSE", 0.30, 0.90)],
}  # fmt: skip
"""Per comparison: what people read, the SQL, m and u where nothing is known yet."""
_MISSING = {
    "company": "(company_l IS NULL OR company_r IS NULL) AND (domain_l IS NULL OR domain_r IS NULL)",
}
_FREQUENT = ("name", "company")
COLUMNS = "place, name, names, initials, company, company_head, mail, domain, phone, tail, title, tf_name, tf_company"

Chances = dict[str, list[tuple[float, float]]]
"""Per comparison, m and u of each level."""


def batches(count: int) -> list[tuple[int, int]]:
    """Places (first, last) of each batch of records, in the order in which they became known."""
    starts = [1]
    size = FIRST_BATCH
    while size < count:
        starts.append(size + 1)
        size *= BATCH_GROWTH
    return [(start, end - 1) for start, end in zip(starts, [*starts[1:], count + 1], strict=True)]


def score_pairs(connection: duckdb.DuckDBPyConnection, people: str, pairs: str, prior: float, chances: Chances) -> None:
    """Score pairs of records with splink, into the table ``scored``.

    It has ``place_l, place_r, match_probability`` and, per comparison, ``gamma_…``: how many levels come after the one
    met (0: differs, -1: unknown on one side).

    Parameters
    ----------
    connection : DuckDB connection
    people : str
        Relation of `COLUMNS`.
    pairs : str
        Relation of ``l, r``: places of the earlier and the later record.
    prior : float
        Chance that two records are one person before they are looked at.
    chances : dict
        m and u per comparison and level.
    """
    from splink import DuckDBAPI, Linker, SettingsCreator

    connection.execute(
        "CREATE OR REPLACE TEMP TABLE blocked_pairs AS "
        f"SELECT '0' AS match_key, l AS join_key_l, r AS join_key_r FROM {pairs}"
    )
    backend = DuckDBAPI(connection)
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="place",
        comparisons=[_comparison(name, chances[name]) for name in LEVELS],
        blocking_rules_to_generate_predictions=[],
        probability_two_random_records_match=prior,
        retain_matching_columns=True,
        retain_intermediate_calculation_columns=False,
    )
    linker = Linker(backend.register(people), settings, log_level=None, validate_settings=False)
    linker.table_management.register_blocked_pairs_for_predict(backend.register("blocked_pairs"))
    predicted = linker.inference.predict(warning_mode="never").physical_name
    wanted = ", ".join(["place_l", "place_r", "match_probability", *(f"gamma_{name}" for name in LEVELS)])
    connection.execute(f"CREATE OR REPLACE TEMP TABLE scored AS SELECT {wanted} FROM {predicted}")
    linker.table_management.delete_tables_created_by_splink_from_db()


def agreement_sql() -> str:
    """Give the SQL that says how a scored pair agrees, such as ``same name, same company``."""
    compared = ", ".join(
        f"CASE gamma_{name} " + " ".join(
            f"WHEN {len(levels) - 1 - place} THEN '{label}'" for place, (label, *_) in enumerate(levels) if label
        ) + " END"
        for name, levels in LEVELS.items()
    )  # fmt: skip
    return f"concat_ws(', ', {compared})"


def starting_chances() -> Chances:
    """Give m and u where nothing has been counted yet."""
    return {name: [(m, u) for _, _, m, u in levels] for name, levels in LEVELS.items()}


def _comparison(name: str, chances: list[tuple[float, float]]) -> dict[str, Any]:
    missing = _MISSING.get(name, f"{name}_l IS NULL OR {name}_r IS NULL")
    levels: list[dict[str, Any]] = [{"sql_condition": missing, "label_for_charts": "unknown", "is_null_level": True}]
    for place, ((label, sql, _, _), (m, u)) in enumerate(zip(LEVELS[name], chances, strict=True)):
        level: dict[str, Any] = {
            "sql_condition": sql, "label_for_charts": label or "differs", "m_probability": m, "u_probability": u,
        }  # fmt: skip
        if place == 0 and name in _FREQUENT:
            level |= {"tf_adjustment_column": name, "tf_adjustment_weight": 1.0}
        levels.append(level)
    return {"output_column_name": name, "comparison_levels": levels}


def count_chances(connection: duckdb.DuckDBPyConnection, people: str, last: int, seed: int) -> Chances:
    """Count m and u on the records up to a place, smoothed towards the starting chances.

    Parameters
    ----------
    connection : DuckDB connection
        With the tables ``same_mail`` and ``same_phone`` (``l, r``: pairs within the window that share the key).
    people : str
    last : int
        Place of the last record to learn from.
    seed : int
        Shifts which pairs are drawn for u.

    Returns
    -------
    dict
    """
    shifts = max(1, min(DRAWN_PAIRS // last, last - 1))
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known_pairs AS
        SELECT least(a, b) AS l, greatest(a, b) AS r FROM (
            SELECT a, (a + shift * {last // (shifts + 1) + 1} + {seed}) % {last} + 1 AS b
            FROM range(1, {last} + 1) t(a), range(1, {shifts} + 1) s(shift)
            ORDER BY hash(a, shift) LIMIT {DRAWN_PAIRS}
        ) WHERE a <> b
        UNION SELECT l, r FROM same_mail WHERE r <= {last} UNION SELECT l, r FROM same_phone WHERE r <= {last}
        """
    )
    score_pairs(connection, people, "known_pairs", 0.5, starting_chances())
    chances: Chances = {}
    for name, levels in LEVELS.items():
        # What is told by a pair that was found by its mail says nothing of how often mail agrees, and likewise phone.
        found_by = {"mail": ["same_phone"], "phone": ["same_mail"]}.get(name, ["same_mail", "same_phone"])
        sure = " UNION ".join(f"SELECT l, r FROM {relation}" for relation in found_by)
        met = dict(
            connection.execute(
                f"SELECT gamma_{name}, count(*) FROM scored "
                f"SEMI JOIN ({sure}) AS sure ON (sure.l = place_l AND sure.r = place_r) GROUP BY 1"
            ).fetchall()
        )
        drawn = dict(
            connection.execute(
                f"SELECT gamma_{name}, count(*) FROM scored "
                "ANTI JOIN (SELECT l, r FROM same_mail UNION SELECT l, r FROM same_phone) AS sure "
                "ON (sure.l = place_l AND sure.r = place_r) GROUP BY 1"
            ).fetchall()
        )
        chances[name] = [
            (
                _smoothed(met, len(levels) - 1 - place, m, len(levels), PRIOR_PAIRS["m"]),
                _smoothed(drawn, len(levels) - 1 - place, u, len(levels), PRIOR_PAIRS["u"]),
            )
            for place, (_, _, m, u) in enumerate(levels)
        ]
    return chances


def count_prior(connection: duckdb.DuckDBPyConnection, apart: str, last: int, window_days: int) -> float:
    """Count how likely two records that may be linked (`apart`, within the window) are one person, up to a place."""
    met, possible = connection.execute(
        f"""
        WITH days AS (
            SELECT system, created_at::DATE AS day, count(*) AS n FROM people WHERE place <= {last} GROUP BY ALL
        )
        SELECT (SELECT count(*) FROM (SELECT l, r FROM same_mail UNION SELECT l, r FROM same_phone) WHERE r <= {last}),
            (SELECT sum(l.n * r.n) / 2 FROM days AS l JOIN days AS r
             ON {apart} AND abs(l.day - r.day) <= {window_days})
        """
    ).fetchall()[0]
    # As if one pair had been counted already, where there is none yet.
    return min(0.1, (met / FOUND_BY_KEY_SHARE + 1) / ((possible or 0) + 1 / FIRST_PRIOR))


def _smoothed(counts: dict[int, int], level: int, start: float, levels_count: int, weight: int) -> float:
    total = sum(counts.get(number, 0) for number in range(levels_count))
    return (counts.get(level, 0) + weight * start) / (total + weight)
