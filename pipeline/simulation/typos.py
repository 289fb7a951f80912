"""One person as two systems write them: the same name, company, number and address, in other words.

Nothing here changes who a person is. `write_again` spells people as a call centre types them; `shared_contacts` gives
the mailboxes and numbers that a whole company shares, and the placeholders that stand for none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
NO_NUMBERS = ["000000", "+49 30 0000000", "0123456789", "n/a"]
NO_MAIL = ["none@none.com", "noemail@noemail.com"]
_SOUNDS = [("ck", "k"), ("ei", "ai"), ("ie", "y"), ("ss", "s"), ("f", "ph"), ("k", "ck"), ("i", "y"), ("s", "ss")]


def _choose(rng: np.random.Generator, count: int, shares: list[float]) -> NDArray[np.int64]:
    """One of the ways of writing for each row; (n,)."""
    return rng.choice(len(shares), count, p=shares)


def _slip(rng: np.random.Generator, text: str) -> str:
    """Leave out, swap, double or mistype one letter, not the first."""
    if len(text) < 4:
        return text
    place = int(rng.integers(1, len(text) - 1))
    before, letter, after = text[:place], text[place], text[place + 1 :]
    way = int(rng.integers(4))
    if way == 1:
        return before + after[0] + letter + after[1:]
    return before + ["", "", letter * 2, str(rng.choice(LETTERS))][way] + after


def _by_ear(text: str) -> str:
    """Write a word as it sounds."""
    for one, other in _SOUNDS:
        if one in text[1:]:
            return text[0] + text[1:].replace(one, other, 1)
    return text


def _some(rng: np.random.Generator, texts: pd.Series, share: float, change) -> pd.Series:
    """Change about `share` of the texts that are there."""
    chosen = texts.notna() & (rng.random(len(texts)) < share)
    return texts.where(~chosen, texts[chosen].map(change).reindex(texts.index))


def write_again(rng: np.random.Generator, people: pd.DataFrame) -> pd.DataFrame:
    """Spell people as the call centre does.

    Parameters
    ----------
    rng : numpy Generator
    people : DataFrame
        ``name`` ("First Last"), ``company_name``, ``email``, ``phone`` ("+49 30 1234567"), ``title``.

    Returns
    -------
    DataFrame
        The same columns and index. Names: the last one first, an initial, capitals, by ear or with a slip; companies
        without their legal form, or not asked for; numbers in five forms, some a digit off, some a placeholder or
        none; addresses in capitals, with a slip, of the whole company, or (four in ten) none.
    """
    count = len(people)
    parts = people["name"].str.split(" ", n=1)
    first, last = parts.str[0], parts.str[1]
    last = _some(rng, _some(rng, last, 0.06, _by_ear), 0.05, lambda word: _slip(rng, word))
    first = _some(rng, first, 0.03, lambda word: _slip(rng, word))
    way = _choose(rng, count, [0.55, 0.2, 0.1, 0.1, 0.05])
    name = np.select(
        [way == 0, way == 1, way == 2, way == 3],
        [last + ", " + first, first + " " + last, first.str[0] + ". " + last, (last + " " + first).str.upper()],
        "Herr/Frau " + last,
    )
    digits = people["phone"].str[-7:]
    wrong = (digits.str[:6] + rng.integers(0, 10, count).astype(str)).where(digits.notna(), None)
    digits = digits.where(rng.random(count) >= 0.03, wrong)
    way = _choose(rng, count, [0.4, 0.15, 0.15, 0.1, 0.05, 0.1, 0.05])
    phone = np.select(
        [way == place for place in range(7)],
        [
            "030/" + digits, "0049 30 " + digits, "+49 (0)30 " + digits.str[:3] + " " + digits.str[3:],
            "030-" + digits.str[:3] + "-" + digits.str[3:], digits, np.full(count, None),
            rng.choice(np.array(NO_NUMBERS, dtype=object), count),
        ],
    )  # fmt: skip
    domain = people["email"].str.split("@").str[1]
    email = _some(rng, people["email"], 0.03, lambda address: _slip(rng, address))
    way = _choose(rng, count, [0.37, 0.2, 0.02, 0.01, 0.4])
    address = np.select(
        [way == place for place in range(5)],
        [email, email.str.upper(), "info@" + domain, np.full(count, NO_MAIL[0], dtype=object), np.full(count, None)],
    )
    bare = people["company_name"].str.split(" ").str[0]
    bare = _some(rng, bare, 0.04, lambda word: _slip(rng, word))
    way = _choose(rng, count, [0.6, 0.2, 0.1, 0.1])
    company = np.select(
        [way == 0, way == 1, way == 2], [bare, people["company_name"], bare.str.upper()], np.full(count, None)
    )
    written = {"name": name, "company_name": company, "email": address, "phone": phone}
    frame = pd.DataFrame(written, index=people.index, dtype=object)
    frame["title"] = people["title"].where(rng.random(count) < 0.5, None)
    return frame.where(frame.notna(), None)


def shared_contacts(rng: np.random.Generator, people: pd.DataFrame) -> pd.DataFrame:
    """Give what stands where somebody left no address or number of their own.

    Parameters
    ----------
    rng : numpy Generator
    people : DataFrame
        ``account_id``, ``email``, ``phone``.

    Returns
    -------
    DataFrame
        ``email`` and ``phone``: the company's mailbox and switchboard, the same for all its people, or placeholders.
    """
    count = len(people)
    way = _choose(rng, count, [0.4, 0.3, 0.2, 0.1])
    mailbox = ("info@" + people["email"].str.split("@").str[1]).where(people["email"].notna(), None)
    switchboard = "+49 30 9" + people["account_id"].str[-6:-1] + "0"
    no_number = rng.choice(np.array(NO_NUMBERS, dtype=object), count)
    no_mail = rng.choice(np.array(NO_MAIL, dtype=object), count)
    return pd.DataFrame(
        {
            "email": np.select([way == 1, way == 3], [mailbox, no_mail], people["email"]),
            "phone": np.select([way == 0, way == 2], [switchboard, no_number], people["phone"]),
        },
        index=people.index,
        dtype=object,
    )
