# ruff: noqa: S608 (SQL here is made of our own names)
"""What tells people apart, brought to one form: mail addresses, phone numbers, names of people and of companies.

Every key is worked out from its own row alone, so that no other row, earlier or later, changes it. What many people
share is no key: mailboxes of a role (info@), placeholders (0000000, none@none.com), numbers without enough digits.
"""

from __future__ import annotations

from features.empty_words import NO_ANSWER
from pipeline.identity.contact_keys import calling_code_sql, national_number_sql

ROLE_MAILBOXES = (
    "info", "office", "sales", "contact", "kontakt", "contato", "contacto", "mail", "email", "post", "admin",
    "support", "service", "services", "help", "hello", "hallo", "team", "reception", "empfang", "zentrale",
    "webmaster", "sekretariat",
    "verkauf", "vertrieb", "einkauf", "purchasing", "buchhaltung", "accounting", "billing", "invoice", "rechnung",
    "marketing", "presse", "press", "hr", "jobs", "anfrage", "anfragen", "enquiry", "enquiries", "inquiry", "noreply",
    "no-reply", "donotreply", "newsletter", "test", "none", "na", "null", "nomail", "noemail", "unknown", "unbekannt",
    "comercial", "vendas", "compras", "geral", "financeiro", "it", "edv", "shop", "order", "orders", "bestellung",
)  # fmt: skip
"""Local parts of addresses that several people read, or that stand for no address."""
NO_DOMAINS = (
    "example.com",
    "example.org",
    "example.net",
    "test.com",
    "test.de",
    "none.com",
    "noemail.com",
    "nomail.com",
)
HONORIFICS = (
    "dr", "prof", "mr", "mrs", "ms", "miss", "herr", "frau", "dipl", "ing", "mag", "phd", "sr", "sra", "senhor", "mba",
)  # fmt: skip
LEGAL_FORMS = (
    "gmbh", "mbh", "ag", "se", "kg", "kgaa", "ohg", "gbr", "ug", "ek", "e", "k", "co", "company", "cie", "ltd",
    "limited",
    "llc", "llp", "inc", "corp", "corporation", "plc", "sa", "sas", "sarl", "srl", "spa", "sl", "bv", "nv", "oy", "ab",
    "as", "aps", "sp", "z", "o", "zoo", "lda", "ltda", "eireli", "me", "und", "and", "the", "y", "et", "group",
    "gruppe", "holding",
)  # fmt: skip
_LONGEST_PHONE_DIGITS = 15


def _listed(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


def _folded(column: str) -> str:
    """Lower case without accents; ä, ae and a are one letter, as are ö and ü with theirs, and ß and ss."""
    plain = f"strip_accents(lower(replace({column}, 'ß', 'ss')))"
    return f"regexp_replace({plain}, '([aou])e', '\\1', 'g')"


def _words(column: str, left_out: tuple[str, ...]) -> str:
    split = f"regexp_split_to_array({_folded(column)}, '[^\\p{{L}}\\p{{N}}]+')"
    return f"list_filter({split}, lambda word: word <> '' AND word NOT IN {_listed(left_out)})"


def people_sql(leads: str, free_mail: tuple[str, ...]) -> str:
    """Give the query that brings what tells people apart to one form.

    Parameters
    ----------
    leads : str
        A relation with ``lead_id, system, created_at, known_at, email, phone, name, company_name, title``.
    free_mail : tuple of str
        First part of the domain of mail that anyone can have.

    Returns
    -------
    str
        SQL of one row per lead: ``place`` (from 1, in the order in which the leads became known; ties by
        ``created_at``, then ``lead_id``), ``lead_id, system, created_at, known_at`` and, null where unknown or no key:
        ``mail`` (of one person), ``domain`` (of a company), ``phone`` (national number), ``calling_code``, ``tail``
        (the number's last seven digits), ``name`` (its words in alphabetical order), ``names`` (those of two letters
        and more), ``initials``, ``company`` (without legal form), ``company_head`` (its first word), ``title``.
    """
    order = "known_at, created_at, lead_id"
    first_part = "split_part(raw_domain, '.', 1)"
    digits = "list_unique(regexp_split_to_array(number, ''))"
    is_run = "contains('012345678901234567890', number) OR contains('987654321098765432109', number)"
    return f"""
    WITH read AS (
        SELECT row_number() OVER (ORDER BY {order}) AS place, lead_id, system, created_at, known_at,
            regexp_replace(trim(lower(email)), '\\+[^@]*@', '@') AS address,
            {national_number_sql("phone")} AS number, {calling_code_sql("phone")} AS calling_code,
            {_words("name", HONORIFICS)} AS name_words, {_words("company_name", LEGAL_FORMS)} AS company_words,
            nullif(trim({_folded("title")}), '') AS title
        FROM {leads}
    ), split AS (
        SELECT *, regexp_matches(address, '^[^@\\s]+@[^@\\s]+\\.[^@\\s.]+$') AS is_address,
            split_part(address, '@', 1) AS mailbox, split_part(address, '@', 2) AS raw_domain,
            array_to_string(list_sort(name_words), ' ') AS sorted_name
        FROM read
    ), told AS (
        SELECT *,
            is_address AND mailbox NOT IN {_listed(ROLE_MAILBOXES)} AND raw_domain NOT IN {_listed(NO_DOMAINS)}
                AND list_unique(regexp_split_to_array(mailbox, '')) > 1 AS is_personal,
            length(number) BETWEEN 6 AND {_LONGEST_PHONE_DIGITS} AND {digits} > 2 AND NOT ({is_run}) AS is_number,
            length(sorted_name) > 1 AND sorted_name NOT IN {_listed(NO_ANSWER)} AS is_name
        FROM split
    )
    SELECT place, lead_id, system, created_at, known_at,
        CASE WHEN is_personal THEN address END AS mail,
        CASE WHEN is_address AND {first_part} NOT IN {_listed(free_mail)} AND raw_domain NOT IN {_listed(NO_DOMAINS)}
            THEN raw_domain END AS domain,
        CASE WHEN is_number THEN number END AS phone,
        CASE WHEN is_number THEN calling_code END AS calling_code,
        CASE WHEN is_number AND length(number) >= 7 THEN right(number, 7) END AS tail,
        CASE WHEN is_name THEN sorted_name END AS name,
        CASE WHEN is_name THEN list_filter(name_words, lambda word: length(word) > 1) ELSE [] END AS names,
        CASE WHEN is_name THEN array_to_string(list_sort(list_transform(name_words, lambda word: word[1])), '') END
            AS initials,
        nullif(array_to_string(company_words, ' '), '') AS company, company_words[1] AS company_head, title
    FROM told
    """


def same_name(left: str = "l", right: str = "r") -> str:
    """Give the SQL that says whether two known names are one: in any order, with a slip, a nickname or an initial."""
    return (
        f"({left}.name = {right}.name OR {left}.initials = {right}.initials AND "
        f"list_has_any({left}.names, {right}.names) OR {slip('name', left + '.', right + '.')})"
    )


def names_agree(left: str = "l", right: str = "r") -> str:
    """Give the SQL that says whether nothing in two known names speaks against one person: one may be a part."""
    whole, part = f"{left}.names", f"{right}.names"
    contains = (
        f"list_has_all({whole}, {part}) AND len({part}) > 0 OR list_has_all({part}, {whole}) AND len({whole}) > 0"
    )
    return f"({same_name(left, right)} OR {contains})"


def slip(column: str, left: str = "", right: str = "", after: tuple[str, str] = ("", "")) -> str:
    """Give the SQL that says whether two texts differ by a slip, or by two and begin alike, but in no digit."""
    one, other = f"{left}{column}{after[0]}", f"{right}{column}{after[1]}"
    distance = f"damerau_levenshtein({one}, {other})"
    digits = f"regexp_replace({one}, '\\D', '', 'g') = regexp_replace({other}, '\\D', '', 'g')"
    return (
        f"(length({one}) > 5 AND abs(length({one}) - length({other})) <= 2 AND {digits} AND ({distance} <= 1 OR "
        f"{distance} = 2 AND length({one}) > 7 AND {one}[:2] = {other}[:2]))"
    )
