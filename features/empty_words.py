"""Words that stand for nothing, from what no column means by them to what people type who do not want to say."""

EMPTY = (
    "", "null", "nan", "n/a", "#n/a", "\\n", "--none--", "- none -", "-none-", "--select--", "- select -", "-select-",
    "-- select --", "#ref!", "#value!", "#name?", "#null!",
)  # fmt: skip
"""Nothing in any column, whatever it holds."""
NO_FACT = (*EMPTY, "none", "na", "nat", "-", "--", "?")
"""Nothing where a time, a number or an id is wanted."""
NO_ANSWER = (
    "abc", "anonymous", "asdf", "desconhecido", "n a", "n/a", "na", "nan", "no", "none", "null", "select", "test",
    "unbekannt", "unknown", "xx", "xxx",
)  # fmt: skip
"""What stands in a contact's fields where nobody answered."""
NO_CHOICE = ("-", "--", "?", "n/a", "na", "none", "not set", "null", "please select", "select", "tbd", "test",
             "unknown", "xxx")  # fmt: skip
"""What stands in a list of choices where nobody chose."""
