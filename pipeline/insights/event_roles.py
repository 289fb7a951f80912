"""What an event asks of sales, read from the words of its kind: a request, a reply, interest, or nothing.

Companies name their kinds of events themselves (``demo_request``, ``Kontaktanfrage``, ``pedido_de_preço``), so the
words are matched, in the languages that exports come in. A kind that no word gives away counts as interest: nothing is
said to be unanswered that may never have been a question.
"""

from __future__ import annotations

import re
from functools import cache

from features import wording

REQUEST, REPLY, STRONG, INTEREST, WEAK = "request", "reply", "strong", "interest", "weak"
"""Asks for an answer; answers us, or gets in touch in person; interest worth a call soon; interest; hardly any."""

_WEAK = (
    r"open(ed|s)?|deliver\w*|bounce\w*|unsubscri\w*|opt(ed)? ?-?out|spam|auto\w*|out of office|ooo|sent|birthday|"
    r"impression|newsletter|undeliver\w*|geöffnet|abgemeldet|aberto|abierto|ouvert"
)
_SEEN = r"visit\w*|view\w*|page\w*|seen|watched|click\w*|besuch\w*|visita\w*|visite\w*|clic\w*"
_REQUEST = (
    r"request\w*|ask(ed|s)?|enquir\w*|inquir\w*|call ?back|call me|contact us|contact form|get in touch|rf[pqi]|quote|"
    r"quotation|(demo|pricing|price|contact|sales|quote) form|book(ed)? a demo|\w*anfrage|angefragt|rückruf\w*|"
    r"\w*kontaktformular|pedido|solicit\w*|orçamento|orcamento|presupuesto|demande|devis|richiesta|preventivo|aanvraag|"
    r"offerte"
)
_REPLY = (
    r"repl(y|ied|ies)|answer\w*|respon(se|ded|ds)|antwort\w*|resposta|respondeu|respuesta|respondió|réponse|reponse|"
    r"risposta|antwoord\w*"
)
_WRITES = r"e ?mail|mail|message|chat|whatsapp|sms|nachricht|mensagem|mensaje|correo|inmail"
_SPEAKS = (
    r"call(ed|s)?( us| in)?|phone call|anruf|ligação|ligacao|llamada|appel|telefonata|meeting|termin|reunião|reunion"
)
_STRONG = (
    r"form\w*|trial|pric\w*|demo\w*|webinar|event|signup|sign up|registr\w*|configurator|calculator|preis\w*|preço|"
    r"precio|prix|prezzi"
)


def _has(words: str, text: str) -> bool:
    return re.search(rf"(?<!\w)({words})(?!\w)", text) is not None


@cache
def role(kind: str) -> str:
    """Say what an event of the lead's side asks of sales.

    Parameters
    ----------
    kind : str
        As the company writes it.

    Returns
    -------
    str
        `REQUEST`, `REPLY`, `STRONG`, `INTEREST` or `WEAK`.

    Examples
    --------
    >>> role("demo_request"), role("mail_reply"), role("pricing_visit"), role("page_visit"), role("mail_open")
    ('request', 'reply', 'strong', 'interest', 'weak')
    """
    text = wording.readable(kind)
    if _has(_WEAK, text):
        return WEAK
    if _has(_SEEN, text):
        return STRONG if _has(_STRONG, text) else INTEREST
    if text == "repeat enquiry" or _has(_REQUEST, text):
        return REQUEST
    if _has(_REPLY, text) or _has(_SPEAKS, text) or re.fullmatch(rf"({_WRITES})( (from|by) \w+| received| in)?", text):
        return REPLY
    return STRONG if _has(_STRONG, text) else INTEREST


def is_talk(kind: str) -> bool:
    """Whether both sides were there: a call or a meeting, of which nobody wrote down who made it."""
    text = wording.readable(kind)
    return _has(_SPEAKS, text) and not _has(_WEAK, text)


def is_ours(kind: str) -> bool:
    """Whether a kind whose direction nobody wrote down is a touch of ours: a call, a meeting, something sent."""
    return is_talk(kind) or _has("sent|gesendet|enviado|envoyé|attempt|versuch", wording.readable(kind))


def is_attempt(kind: str) -> bool:
    """Whether a touch of ours may not have reached anybody."""
    return _has("attempt|attempted|missed|no answer|voicemail|versuch|tentativa|intento", wording.readable(kind))


def is_proposal(kind: str) -> bool:
    """Whether a touch of ours put an offer on the table."""
    return _has("proposal|offer|quote|quotation|angebot|proposta|propuesta|devis|offerte", wording.readable(kind))


def touch_noun(kind: str) -> str:
    """Name a touch of ours: "call attempt"."""
    return wording.event_words(kind)[1]


def said(kind: str) -> str:
    """Say what the lead did, to open a sentence: "Asked for a demo".

    Examples
    --------
    >>> said("demo_request"), said("Email"), said("call"), said("Kontaktanfrage")
    ('Asked for a demo', 'Wrote to us', 'Called us', 'Kontaktanfrage')
    """
    text = wording.readable(kind)
    if re.fullmatch(_WRITES, text):
        return "Wrote to us"
    if re.fullmatch(_SPEAKS, text) and "call" in text:
        return "Called us"
    return wording.event_words(kind)[0]
