"""Credit by the forecast: what each campaign's touches added to the chance that a won lead had before its deal opened.

An association that the model has learnt, no proof of an effect: campaigns also reach leads that were worth reaching.
"""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import matrix
from features.materialise import to_frame
from features.schema import EVENTS, TIME, Tables
from features.snapshot_context import KEYS, SnapshotContext, snapshot_context
from features.spec import FeatureSpec
from pipeline.common.errors import UserError
from pipeline.ingest.company import LoadedCompany
from pipeline.insights.cloned_leads import cloned_touches, reproduced
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.revenue.attribution import coalitions, shapley_weights
from pipeline.revenue.expected_revenue import champion_at

CLONES_AT_ONCE = 250_000


def model_weights(
    company: LoadedCompany, touches: pd.DataFrame, deals: pd.DataFrame, as_of: datetime
) -> tuple[pd.DataFrame, list[str]]:
    """Share each won deal among its campaigns by their Shapley values in the champion's forecast.

    A coalition of campaigns is worth the win probability at the end of the day before the deal opened, with features
    built again from the touches of these campaigns alone; touches that belong to no campaign stay.

    Parameters
    ----------
    company : LoadedCompany
    touches, deals : DataFrame
        As `CampaignTouches` has them.
    as_of : datetime
        Naive UTC.

    Returns
    -------
    weights : DataFrame
        ``deal``, ``campaign`` (null: what the lead was worth without any), ``weight``.
    notes : list of str

    Raises
    ------
    UserError
        There is no champion, or it was trained on what came after the date.
    """
    stored, note = _champion(company, as_of)
    players = touches.groupby("deal", sort=True)["campaign"].unique()
    games = _games(company, deals.set_index("deal"), players)
    rows: list[tuple[int, str | None, float]] = []
    for batch in _batches(games, company.params.seed):
        for deal, (names, values) in _values(company.on_engine, stored, batch, company.params.seed).items():
            parts = shapley_weights(names, values, company.params.seed)
            rows += [(deal, name, part) for name, part in parts.items()]
    weights = pd.DataFrame(rows, columns=["deal", "campaign", "weight"])
    notes = [note]
    if len(players) > len(games):
        notes.append(
            f"{len(players) - len(games):,} deals opened before their lead was known have no forecast: no campaign"
        )
    return weights, notes


def _champion(company: LoadedCompany, as_of: datetime) -> tuple[StoredModel, str]:
    try:
        version, stored = champion_at(company, as_of)
    except UserError as error:
        raise UserError(f"--attribution model: {error}; choose a later --as-of or another attribution") from None
    return stored, f"shares by model version {version}: an association, no proof that a campaign caused it"


def _games(company: LoadedCompany, deals: pd.DataFrame, players: pd.Series) -> pd.DataFrame:
    """Give a row a deal that can be played: ``deal, lead_id, campaign`` (at creation), ``as_of``, ``players``."""
    leads = company.tables.leads.select("lead_id", "created_at", "known_at", "campaign").to_pandas()
    leads = leads.set_index("lead_id")
    own = deals.loc[players.index]
    own = own[own["lead_id"].isin(leads.index)]
    known = leads.loc[own["lead_id"], ["created_at", "known_at"]].max(axis=1).to_numpy()
    before = np.maximum(_day_starts(own["opened_at"], company.params.data.timezone), known)
    frame = pd.DataFrame(
        {
            "deal": own.index,
            "lead_id": own["lead_id"].to_numpy(),
            "campaign": leads.loc[own["lead_id"], "campaign"].to_numpy(),
            "as_of": before.astype("datetime64[us]"),
            "players": [sorted(players[deal]) for deal in own.index],
        }
    )
    return frame[before <= own["opened_at"].to_numpy()].reset_index(drop=True)


def _day_starts(instants: pd.Series, timezone: str) -> NDArray[np.datetime64]:
    """Give the start of each instant's local day: deals of one day are one date to build features at."""
    local = pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(timezone).tz_localize(None).normalize()
    starts = local.tz_localize(timezone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward")
    return starts.tz_convert("UTC").tz_localize(None).to_numpy()


def _batches(games: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    sizes = games["players"].map(lambda names: len(coalitions(len(names), seed)))
    return [batch for _, batch in games.groupby(sizes.cumsum() // CLONES_AT_ONCE)] if len(games) else []


def _values(
    tables: Tables, stored: StoredModel, games: pd.DataFrame, seed: int
) -> dict[int, tuple[list[str], NDArray[np.float64]]]:
    """Value every coalition of every game: the win probability with the touches of its campaigns alone."""
    # A lead with two deals is two games; features are built once for each of its dates.
    games = games.assign(place=np.arange(len(games)))
    held = [coalitions(len(names), seed) for names in games["players"]]
    clones = pd.DataFrame(
        {
            "place": np.repeat(games["place"].to_numpy(), [len(rows) for rows in held]),
            "coalition": np.concatenate([np.arange(len(rows)) for rows in held]),
        }
    )
    clones["clone_id"] = clones["place"].astype(str) + "#" + clones["coalition"].astype(str)
    with_campaign, without = _own_rows(tables, stored.spec, games)
    allowed = ibis.memtable(_members(games, held)).rename(of_clone="clone_id", by="campaign")
    touched = cloned_touches(
        tables, stored.spec, clones.merge(games[["place", "lead_id", "as_of"]], on="place").assign(episode=1),
        lambda events: _with_members_alone(events, allowed),
    )  # fmt: skip
    keeps = _keeps_campaign(games, held)
    places = clones["place"].to_numpy()
    X = with_campaign.iloc[places].reset_index(drop=True)
    lost = np.flatnonzero(~keeps)
    X.iloc[lost] = without.iloc[places[lost]].to_numpy() if len(lost) else X.iloc[lost]
    X = X.astype(with_campaign.dtypes.to_dict())
    full = np.concatenate([rows.all(axis=1) for rows in held])
    for name in reproduced(touched[full], with_campaign.iloc[places[full]]):
        X[name] = touched[name].to_numpy(float)
    chance = stored.forecaster.predict(X)["p_win_ever"].to_numpy(float)
    ends = np.cumsum([len(rows) for rows in held])
    return {
        int(deal): (list(names), np.nan_to_num(chance[end - len(rows) : end]))
        for deal, names, rows, end in zip(games["deal"], games["players"], held, ends, strict=True)
    }


def _with_members_alone(events: ir.Table, allowed: ir.Table) -> ir.Table:
    """Keep the touches of each clone's coalition, and those that belong to no campaign."""
    pairs = events.left_join(allowed, [events.lead_id == allowed.of_clone, events.campaign == allowed.by])
    return pairs.filter(pairs.campaign.isnull() | pairs.by.notnull()).select(*EVENTS)


def _members(games: pd.DataFrame, held: list[NDArray[np.bool_]]) -> pd.DataFrame:
    """List who is in each coalition: ``clone_id, campaign``."""
    parts = []
    for place, names, rows in zip(games["place"], games["players"], held, strict=True):
        coalition, player = np.nonzero(rows)
        parts.append(
            pd.DataFrame(
                {"clone_id": [f"{place}#{number}" for number in coalition], "campaign": np.array(names)[player]}
            )
        )
    return pd.concat(parts, ignore_index=True)


def _keeps_campaign(games: pd.DataFrame, held: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Say of which clones the campaign that the lead came with belongs to the coalition."""
    found = []
    for campaign, names, rows in zip(games["campaign"], games["players"], held, strict=True):
        found.append(rows[:, names.index(campaign)] if campaign in names else np.ones(len(rows), dtype=bool))
    return np.concatenate(found)


def _own_rows(tables: Tables, spec: FeatureSpec, games: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build the features of the games' leads at their dates, as they are, and as if they had come with no campaign."""
    grid = games[["lead_id", "as_of"]].drop_duplicates().assign(episode=1)
    snapshots = ibis.memtable(grid).select(
        "lead_id", episode=ibis._.episode.cast("int64"), as_of=ibis._.as_of.cast(TIME)
    )
    context = snapshot_context(tables, snapshots, spec)
    built = []
    for is_known in (True, False):
        every = context.every
        if not is_known and "campaign" in every.columns:
            every = every.mutate(campaign=ibis.null("string")).cache()
        own = SnapshotContext(tables, spec, every, every)
        rows = to_frame(matrix.feature_block(own).join(every.select("snapshot", *KEYS), "snapshot").drop("snapshot"))
        rows = games[["lead_id", "as_of"]].merge(rows, on=["lead_id", "as_of"], how="left", validate="many_to_one")
        built.append(rows.drop(columns=KEYS))
    return built[0], built[1]
