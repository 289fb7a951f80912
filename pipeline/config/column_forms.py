"""How params may say where one of our columns comes from, where one column of the source is not enough.

A column is a name; or a list of names, of which the first filled one counts (``[won_time, lost_time]``); a constant
(``{constant: deals}``); a cell of several ids (``{column: contacts, split: ";"}``), the first of which counts; or, for
an outcome, flags (``{closed: IsClosed, won: IsWon}``; ``lost`` may be one too).
"""

from __future__ import annotations

from typing import Any

FORMS = (
    "a column is a name, a list of names of which the first filled one counts, {constant: a word}, "
    "{column: a name, split: a sign}, or for an outcome {closed: a name, won: a name} (lost may be one too)"
)
_FLAGS = frozenset({"closed", "won", "lost"})


def column_form(value: Any) -> Any:
    """Check one of the forms, and give every name in it as text.

    Raises
    ------
    ValueError
        It is none of them.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(name, str | int | float) and str(name) for name in value):
        return [str(name) for name in value]
    if isinstance(value, dict):
        keys = set(value)
        texts = {
            str(key): str(text) for key, text in value.items() if isinstance(text, str | int | float) and str(text)
        }
        is_form = (
            keys == {"constant"} or keys == {"column", "split"} or (bool(keys) and keys <= _FLAGS and "won" in keys)
        )
        if is_form and len(texts) == len(value):
            return texts
    raise ValueError(f"found {value!r}; {FORMS}")


def names_in(form: Any) -> list[str]:
    """List the source's columns that a form reads."""
    if isinstance(form, str):
        return [form]
    if isinstance(form, list):
        return list(form)
    return [name for key, name in form.items() if key not in ("constant", "split")]
