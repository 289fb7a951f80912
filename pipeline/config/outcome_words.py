"""What words of an outcome, a stage or a status are likely to mean, in the languages in which CRMs are kept."""

from __future__ import annotations

import re
import unicodedata

_LOST = (
    r"\blost\b|lose\b|\bloss\b|closedlost|unqualif|disqualif|not (qualified|converted|interested|a fit)|\bjunk\b"
    r"|\bdead\b|spam|reject|abandon|cancel|declin|duplicat|no longer|cannot contact|recycl|unresponsive"
    r"|bad (fit|data|lead)|no budget"
    r"|verlor|abgelehnt|absage|abgebroch|storniert|ungeeignet|nicht qualifiziert"
    r"|\bperdid|\bperda|descartad|cancelad|desqualificad|descalificad|rechazad"
    r"|\bperdu|abandonne|refuse|annule|disqualifie|\bpers[oae]\b|persa|annullat|scartat"
    r"|verloren|afgewezen|geannuleerd|forlorad|tabt|\btapt|avvist|przegran|utracon|odrzucon|kaybed|失注|проигр|отказ"
)
_WON = (
    r"\bwon\b|closedwon|\bwin\b|gewonn|auftrag erteilt|\bganh|ganad|\bgagne|\bvint[oai]\b"
    r"|\bvunn|vundet|wygran|kazan|成約|受注|выигр|успешно"
)
_CONVERTED = r"convert|qualified|\bqualifi|konvertiert|qualifiziert|umgewandelt|open deal|opportunity|customer|kunde"
_OPEN = (
    r"\bopen\b|\bnew\b|working|contact|progress|qualif|proposal|negotiat|prospect|pending|nurtur|meeting|demo|offer|angebot"
    r"|offen|\bneu\b|in arbeit|verhandlung|aberto|abiert|nov[oa]\b|nuevo|ouvert|nouveau|en cours|apert|nuov"
    r"|discover|evaluat|scheduled|contract|trial|poc\b|verbal|commit|review|analysis|quote|assigned|attempt"
)


def plain(word: str) -> str:
    """Give a word in small letters without accents, signs between words as blanks."""
    letters = unicodedata.normalize("NFKD", word.lower())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[_\-/.:]+", " ", letters)


def likely_outcome(word: str) -> str | None:
    """Give won, lost or open for a word of a deal's outcome or stage; None where nothing tells."""
    text = plain(word)[:80]
    if re.search(_LOST, text):
        return "lost"
    if re.search(_WON, text):
        return "won"
    return "open" if re.search(_OPEN, text) else None


def likely_status(word: str) -> str | None:
    """Give open, lost or converted for a word of a lead's status; None where nothing tells."""
    text = plain(word)[:80]
    if re.search(_LOST, text):
        return "lost"
    if re.search(_WON, text) or re.search(_CONVERTED, text):
        return "converted"
    return "open" if re.search(_OPEN, text) else None
