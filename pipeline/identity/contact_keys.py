"""Mail addresses and telephone numbers, brought to one form in SQL: the one home of what makes two of them the same."""

CALLING_CODES = (
    r"1|7|2(?:0|7|[1-689]\d)|3(?:[0-469]|[578]\d)|4(?:[013-9]|2\d)|5(?:[1-8]|[09]\d)|6(?:[0-6]|[789]\d)"
    r"|8(?:[1246]|[035789]\d)|9(?:[0-58]|[679]\d)"
)
"""The country codes of ITU-T E.164 as a regular expression; no code is the beginning of another."""
PHONE_KEY_DIGITS = 9


def email_key_sql(text: str) -> str:
    """Give what two ways of writing one mail address have in common: ``Ann <Ann@X.org>`` is ``ann@x.org``."""
    return f"nullif(regexp_extract(lower({text}), '[^\\s<>:;,]+@[^\\s<>:;,]+'), '')"


def national_number_sql(text: str) -> str:
    """Give a number's digits without calling code, leading zeros and extension: ``+49 (0)30 12-0`` is ``30120``."""
    dialled = _dialled(text)
    abroad = f"regexp_replace(regexp_replace({dialled}, '^(\\+|00)({CALLING_CODES})?', ''), '^0+', '')"
    return f"CASE WHEN {_is_international(dialled)} THEN {abroad} ELSE ltrim(replace({dialled}, '+', ''), '0') END"


def calling_code_sql(text: str) -> str:
    """Give a telephone number's country code, null where it is dialled from within the country."""
    dialled = _dialled(text)
    code = f"nullif(regexp_extract({dialled}, '^(?:\\+|00)({CALLING_CODES})', 1), '')"
    return f"CASE WHEN {_is_international(dialled)} THEN {code} END"


def phone_key_sql(text: str) -> str:
    """Give what two ways of writing one telephone number have in common: the last nine digits of its national number.

    Null for fewer than seven digits. The last nine, as a calling code without its plus cannot be told from the number.
    """
    number = national_number_sql(text)
    return f"CASE WHEN length({number}) >= 7 THEN right({number}, {PHONE_KEY_DIGITS}) END"


def _dialled(text: str) -> str:
    bare = f"regexp_replace(lower({text}), '\\(0\\)|(ext|x|durchw|dw).*$', '', 'g')"
    return f"regexp_replace({bare}, '[^0-9+]', '', 'g')"


def _is_international(dialled: str) -> str:
    return f"regexp_matches({dialled}, '^(\\+|00)')"
