"""How text becomes numbers and money, and what unit is written beside an amount.

A unit written in a value is part of it: ``$1,200`` in a company that counts in euros is 1,200 dollars (`unit_sql`).
"""

from __future__ import annotations

from pipeline.common.sql import literal, quoted
from pipeline.ingest.currencies import signs
from pipeline.ingest.parsing import Conventions, clean_sql

_UNIT = r"[\p{L}\p{Sc}][\p{L}\p{Sc}.]{0,7}"
_NUMBER = r"(?:\d[\d.,]*|[.]\d+)(?:[eE][-+]?\d{1,3})?"
PARTS = rf"^(\()?([-+])?({_UNIT})?([-+])?({_NUMBER})([-])?(%|{_UNIT})?([-])?(\))?$"
NAMES = "['opens', 's1', 'before', 's2', 'digits', 's3', 'after', 's4', 'closes']"
SCALES = {"k": 3, "tsd": 3, "tsd.": 3, "t€": 3, "m": 6, "mm": 6, "mn": 6, "mio": 6, "mio.": 6, "bn": 9, "mrd": 9}
_SCALE = r"^(k|tsd\.?|mio\.?|mrd\.?|mn|mm|m|bn)"


def bare_sql(text: str) -> str:
    """Give an amount without blanks and apostrophes, ``,--`` for no cents, and a second amount in brackets."""
    bare = rf"regexp_replace({text}, '[\s\x{{a0}}\x{{202f}}\x{{2009}}\x{{2007}}''’ʼ`´]+', '', 'g')"
    bare = f"replace(replace({bare}, '−', '-'), '–', '-')"
    bare = rf"regexp_replace({bare}, '(\d)[(][A-Z]{{3}}[^()]{{1,40}}[)]$', '\1')"
    return rf"regexp_replace({bare}, '(\d)[,.](?:-{{1,2}}|—)', '\1')"


def parts_sql(text: str) -> str:
    """Take an amount apart into signs, units and digits."""
    return f"regexp_extract({bare_sql(text)}, '{PARTS}', {NAMES})"


def number_sql(column: str, type_: str, conventions: Conventions, target: str = "DOUBLE") -> str:
    """Return a finite number in the `target` type; null where there is none or it cannot be read."""
    if type_ == "BOOLEAN":
        return f"CAST({quoted(column)} AS {target})"
    if type_ not in ("VARCHAR", "JSON"):
        number = f"TRY_CAST({quoted(column)} AS DOUBLE)"
        return f"CASE WHEN isfinite({number}) THEN TRY_CAST({quoted(column)} AS {target}) END"
    plain = r"-?\d+(?:[.]\d{1,2})?"
    easy = f"regexp_full_match(amount, '{plain}')" if not (conventions.decimal_comma or conventions.mixed) else "false"
    read = (
        f"CASE WHEN {easy} THEN TRY_CAST(amount AS {target}) "
        f"ELSE list_transform([{parts_sql('amount')}], lambda part: {_put_together(conventions, target)})[1] END"
    )
    return f"list_transform([{clean_sql(column, type_)}], lambda amount: {read})[1]"


def _put_together(conventions: Conventions, target: str) -> str:
    digits = _digits(conventions)
    cast = f"coalesce(TRY_CAST({digits} AS {target}), TRY_CAST(TRY_CAST({digits} AS DOUBLE) AS {target}))"
    minus = "regexp_matches(part.opens || part.s1 || part.s2 || part.s3 || part.s4, '[-(]')"
    known = _known_units(conventions.currency)
    scale = f"regexp_extract(lower(part.after), '{_SCALE}')"
    rest = f"regexp_replace(lower(part.after), '{_SCALE}', '')"
    powers = " ".join(f"WHEN {literal(word)} THEN {10**power}" for word, power in SCALES.items())
    before_is_known = f"(part.before = '' OR lower(part.before) IN ({known}))"
    after_is_known = f"(part.after IN ('', '%') OR lower(part.after) IN ({known}))"
    value = f"CAST({cast} * CASE WHEN {minus} THEN -1 ELSE 1 END AS {target})"
    cases = f"WHEN {before_is_known} AND {after_is_known} THEN {value} "
    if conventions.scaled:
        scaled = f"CAST({cast} * CASE {scale} {powers} END * CASE WHEN {minus} THEN -1 ELSE 1 END AS {target})"
        cases += f"WHEN {before_is_known} AND {scale} <> '' AND ({rest} = '' OR {rest} IN ({known})) THEN {scaled} "
    both = "part.before <> '' AND part.after <> '' AND part.after <> '%' AND lower(part.before) <> lower(part.after)"
    if conventions.scaled:
        both += f" AND {scale} = ''"
    return f"CASE WHEN (part.opens = '') <> (part.closes = '') OR ({both}) THEN NULL {cases}END"


def _digits(conventions: Conventions) -> str:
    power = r"(?:[eE][-+]?\d{1,3})?"
    if conventions.mixed:
        return f"CASE WHEN regexp_full_match(part.digits, '\\d+{power}') THEN part.digits END"
    if conventions.decimal_comma:
        grouped = r"(?:\d{1,3}(?:[.]\d{3})+|\d+),\d*|\d{1,3}(?:[.]\d{3})+"
        spoken = (
            f"CASE WHEN regexp_full_match(part.digits, '{grouped}') "
            "THEN replace(replace(part.digits, '.', ''), ',', '.') ELSE part.digits END"
        )
    else:
        # Thousands by three, or as India groups them: 12,34,567.
        grouped = r"(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(?:[.]\d*)?"
        spoken = (
            f"CASE WHEN regexp_full_match(part.digits, '{grouped}') THEN replace(part.digits, ',', '') "
            "ELSE part.digits END"
        )
    number = rf"(?:\d+[.]?\d*|[.]\d+){power}"
    return f"CASE WHEN regexp_full_match({spoken}, '{number}') THEN {spoken} END"


def unit_sql(column: str, type_: str, conventions: Conventions) -> str:
    """Give the code of the currency that is written beside an amount; null where there is none."""
    if type_ not in ("VARCHAR", "JSON"):
        return "CAST(NULL AS VARCHAR)"
    known = signs(conventions.currency)
    cases = " ".join(f"WHEN {literal(sign)} THEN {literal(code)}" for sign, code in known.items())
    written = "lower(CASE WHEN part.before = '' THEN part.after ELSE part.before END)"
    unit = rf"regexp_replace({written}, '{_SCALE}(\p{{Sc}}|[a-z]{{3}}$)', '\2')"
    read = f"list_transform([{parts_sql('amount')}], lambda part: CASE {unit} {cases} END)[1]"
    has_unit = r"regexp_matches(amount, '[\p{L}\p{Sc}]')"
    return f"list_transform([{clean_sql(column, type_)}], lambda amount: CASE WHEN {has_unit} THEN {read} END)[1]"


def _known_units(currency: str) -> str:
    return ", ".join(map(literal, signs(currency)))
