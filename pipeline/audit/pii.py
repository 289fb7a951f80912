"""Personal data: found by what a column is called and by what it holds."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from pipeline.common.masking import MAIL

_WHOLE_PHONE = r"\s*(?:\+|00|\(?0)[\d\s()/.\-]{5,}\d\s*"
_NAME = r"\s*(?:[^\W\d_][\w.'’-]*,?\s+){0,3}[^\W\d_][\w.'’-]*\s*"
_BIRTH_WORDS = r"birth|\bdob\b|geburt|nasc|nacim|naiss|nascit"
_NAME_WORDS = (
    r"^name$|first.?name|last.?name|full.?name|given.?name|sur.?name|middle.?name|contact.?(name|person)|person.?name|"
    r"vorname|nachname|familienname|ansprechpartner|primeiro.?nome|^nome$|sobrenome|apellido|nombre|prenom|prénom|cognome"
)
_MAIL_WORDS = r"e.?mail|\bmail\b"
_PHONE_WORDS = r"phone|mobile|\bcell\b|\btel\b|telefon|handy|celular|fax|whatsapp"
_STREET_WORDS = r"street|straße|strasse|address.?(line)?.?\d?$|anschrift|endere|direcci|adresse|\brua\b|indirizzo"
_ID_WORDS = r"passport|\bssn\b|social.?security|\bcpf\b|tax.?id|steuer.?id|\biban\b|national.?id"
MAIL_SHARE, PHONE_SHARE, NAME_SHARE, DATE_SHARE = 0.05, 0.5, 0.8, 0.9


def personal_data(name: str, values: pd.Series) -> str | None:
    """Say what personal data a column holds, if it does: by its content, its name, or both.

    Parameters
    ----------
    name : str
        The column, as the company calls it.
    values : Series
        Missing where there is none.

    Returns
    -------
    str or None
        ``mail addresses``, ``phone numbers``, ``names of people``, ``dates of birth``, ``postal addresses`` or
        ``numbers of identity``. Mail addresses are told by content alone (one in twenty is enough), phone numbers
        by content or by name and content, the others need the name of the column: a company, too, reads like a person.
    """
    known = values.dropna()
    if not len(known):
        return None
    called = re.sub(r"[_\s-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower().strip()
    is_number = pd.api.types.is_numeric_dtype(known)
    is_date = pd.api.types.is_datetime64_any_dtype(known)
    if re.search(_BIRTH_WORDS, called) and (is_date or is_number or _dates(known).notna().mean() >= DATE_SHARE):
        return "dates of birth"
    if re.search(_ID_WORDS, called):
        return "numbers of identity"
    if is_date:
        return None
    if is_number:
        long = ((known >= 1e6) & (known < 1e15)).mean()
        return "phone numbers" if re.search(_PHONE_WORDS, called) and long >= PHONE_SHARE else None
    texts = known.astype(str)
    if texts.str.contains(MAIL).mean() >= MAIL_SHARE:
        return "mail addresses"
    digits = texts.str.count(r"\d").between(7, 15)
    phones = float((texts.str.fullmatch(_WHOLE_PHONE) & digits & _dates(texts).isna()).mean())
    if phones >= PHONE_SHARE or (re.search(_PHONE_WORDS, called) and float(digits.mean()) >= PHONE_SHARE):
        return "phone numbers"
    if re.search(_MAIL_WORDS, called) and texts.str.contains("@", regex=False).mean() >= MAIL_SHARE:
        return "mail addresses"
    if re.search(_STREET_WORDS, called) and texts.str.contains(r"\d").mean() >= 0.5:
        return "postal addresses"
    named = re.search(_NAME_WORDS, called) and not re.search("company|firm|account|product|campaign", called)
    many = texts.nunique() >= min(20, 0.1 * len(texts))
    if named and many and float(texts.str.fullmatch(_NAME).mean()) >= NAME_SHARE:
        return "names of people"
    return None


def _dates(texts: pd.Series) -> pd.Series:
    """Read texts written as ISO dates, missing where they are none."""
    texts = texts.astype(str)
    looks = texts.str.match(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4}")
    if looks.mean() < DATE_SHARE:
        return pd.Series(pd.NaT, index=texts.index)
    iso = pd.to_datetime(texts.where(looks), errors="coerce", format="ISO8601", utc=True)
    if iso.notna().sum() < DATE_SHARE * len(texts):
        iso = pd.to_datetime(texts.where(looks), errors="coerce", format="mixed", dayfirst=True, utc=True)
    return iso


def as_dates(values: pd.Series) -> pd.Series:
    """Give a column of texts as dates (naive UTC) if nearly all of them are dates; any other column as it is."""
    if pd.api.types.is_numeric_dtype(values):
        return values
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.astype("datetime64[us]")
    known = values.dropna()
    if not len(known):
        return values
    sample = known.iloc[:: max(len(known) // 200, 1)].astype(str)
    if _dates(sample).notna().mean() < DATE_SHARE:
        return values
    dates = _dates(known).reindex(values.index)
    if dates.notna().sum() < DATE_SHARE * len(known):
        return values
    return pd.Series(np.asarray(dates.dt.tz_localize(None), dtype="datetime64[us]"), index=values.index)
