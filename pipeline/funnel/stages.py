"""The stages of a company's funnel: those that params write down, else those that its tables can date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.archive.forecasts import Forecasts
from pipeline.common.errors import UserError
from pipeline.config.stage_rules import Combined, Created, Date, Deal, Event, Field, Rule, Score, parts_of
from pipeline.ingest.column_mapping import near_column
from pipeline.ingest.company import LoadedCompany

DEFAULT_STAGES: dict[str, Rule] = {
    "inquiry": Created(),
    "touched": Event(direction="outbound"),
    "engaged": Event(direction="inbound", after="touched"),
    "opportunity": Deal("opened"),
    "won": Deal("won"),
}
"""Without ``stages`` in the params: what any CRM dates."""


@dataclass(frozen=True)
class Stages:
    """The stages of a funnel.

    Parameters
    ----------
    rules : dict of str to Rule
        In order.
    absent : dict of str to str
        Default stages that nothing in the data dates, and why.
    are_default : bool
        Params write down none.
    """

    rules: dict[str, Rule]
    absent: dict[str, str]
    are_default: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The stages, in order."""
        return tuple(self.rules)

    @property
    def won_place(self) -> int:
        """Up to which stage a won lead has come, whatever the others say."""
        places = [
            place
            for place, rule in enumerate(self.rules.values())
            if any(isinstance(part, Deal) and part.what == "won" for part in parts_of(rule))
        ]
        return places[0] if places else len(self.rules) - 1


def stages_of(company: LoadedCompany) -> Stages:
    """Give the stages of a company.

    Raises
    ------
    UserError
        A stage of the params hangs on what nothing dates; the message says what would.
    """
    written = company.params.stages
    if written:
        for name, rule in written.items():
            for key, part in _keyed(rule, f"stages.{name}"):
                if (why := undated(company, part, key)) is not None:
                    raise UserError(f"{key}: {why}")
        return Stages(dict(written), {}, False)
    rules: dict[str, Rule] = {}
    absent: dict[str, str] = {}
    for name, rule in DEFAULT_STAGES.items():
        why = undated(company, rule, name)
        if why is None and isinstance(rule, Event) and rule.after in absent:
            why = f"it follows on {rule.after}, which is absent"
        if why is None:
            rules[name] = rule
        else:
            absent[name] = why
    return Stages(rules, absent, True)


def undated(company: LoadedCompany, rule: Rule, key: str) -> str | None:
    """Say why nothing dates a rule, and what would; None where something does."""
    tables = company.tables
    if isinstance(rule, Event):
        if not tables.has("events"):
            return "there are no events; name them in data.sources.events"
        if rule.direction and not tables.has("events", "direction"):
            return "events have no direction; give data.sources.events a column direction (inbound, outbound)"
    if isinstance(rule, Deal) and rule.what == "opened" and not _seen_open(company):
        return "no deal says when it was opened; give deals a column opened_at, or versions by recorded_at"
    if isinstance(rule, Deal) and rule.what == "stage":
        if not tables.has("deals", "stage"):
            return "deals have no column stage; map one in data.sources.deals.columns"
        if "stage" not in tables.tracked("deals") and not tables.has("deals", "recorded_at"):
            return (
                "deals.stage has no history, so nothing says since when; give its changes in data.sources.changes, or "
                "deals in versions by recorded_at"
            )
    if isinstance(rule, Field):
        column = _column(company, rule.column, key)
        if column not in tables.tracked("leads"):
            return (
                f"leads.{column} has no history that reaches back far enough, so nothing says since when; give its "
                "changes in data.sources.changes, or leads in versions by recorded_at, or name a column that holds the "
                "date ({date: column})"
            )
    if isinstance(rule, Date):
        column = _column(company, rule.column, key)
        if not tables.leads[column].type().is_timestamp():
            return f"leads.{column} does not hold dates; name a column that does"
    if isinstance(rule, Score) and not Forecasts(company.params.archive_folder).chain.entries():
        return "no forecast is archived yet; `leadrev nightly` archives one every night"
    return None


def in_own_words(rule: Rule) -> str:
    """Say a rule in a few words, as it stands on the page."""
    if isinstance(rule, Combined):
        return f" {'or' if rule.how == 'any' else 'and'} ".join(in_own_words(part) for part in rule.rules)
    if isinstance(rule, Created):
        return "the lead was created"
    if isinstance(rule, Deal):
        return {"opened": "a deal was opened", "won": "a deal was won"}.get(
            rule.what, f"a deal stood at {' or '.join(rule.stages)}"
        )
    if isinstance(rule, Field):
        return f"{rule.column} was {' or '.join(rule.values)}"
    if isinstance(rule, Date):
        return f"the date in {rule.column}"
    if isinstance(rule, Score):
        return f"a forecast gave grade {' or '.join(rule.grades)}"
    what = " or ".join(rule.kinds).replace("_", " ") or {
        "outbound": "touch by us",
        "inbound": "reaction of theirs",
    }.get(rule.direction or "", "event")
    times = "first" if rule.count == 1 else f"{rule.count} times"
    within = f" within {rule.within_days} days" if rule.within_days and rule.count > 1 else ""
    return f"{times} {what}{within}" + (f" after {rule.after}" if rule.after else "")


def _seen_open(company: LoadedCompany) -> bool:
    """Whether any deal says when it was opened, or was recorded while it was open."""
    deals = company.tables.deals
    open_version = (deals.outcome == "open") & deals.recorded_at.notnull()
    return bool((deals.opened_at.notnull() | open_version).any().execute())


def _keyed(rule: Rule, key: str) -> Iterator[tuple[str, Rule]]:
    """List the rules that a rule is made of, each with its dotted key."""
    if isinstance(rule, Combined):
        for place, part in enumerate(rule.rules):
            yield from _keyed(part, f"{key}.{rule.how}.{place}")
    else:
        yield f"{key}.{type(rule).__name__.lower()}", rule


def _column(company: LoadedCompany, written: str, key: str) -> str:
    tables = company.tables
    return near_column(written, [*tables.present["leads"], *tables.attributes["leads"]], key)
