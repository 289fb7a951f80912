"""The params file: what it may say, checked key by key before anything is read."""

from __future__ import annotations

import difflib
import ipaddress
import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline.common.errors import UserError
from pipeline.config.capacity_params import CapacityParams
from pipeline.config.data_contract import TABLES, WORDS
from pipeline.config.delivery_params import DeliverParams, SinkParams
from pipeline.config.experiment_params import ExperimentParams
from pipeline.config.monitor_params import MonitorParams
from pipeline.config.near_names import check_names, near_miss
from pipeline.config.param_types import STRICT, ColumnForm, Text, Texts, Zone, blank_as_mapping, listed
from pipeline.config.revenue_params import CampaignsParams, PlanParams
from pipeline.config.stage_rules import stage_rules
from pipeline.config.yaml_loader import line_of, read_yaml


class _Strict(BaseModel):
    """A part of the params file: unknown keys are refused, and nothing changes once read."""

    model_config = STRICT


class Source(_Strict):
    """One place a table is read from.

    Parameters
    ----------
    from_ : str, written ``from``
        A CSV, Parquet or JSON lines file, a glob of them, ``postgresql://user@host/database/schema.table`` or
        ``sqlite:///file.db/table``.
    sql : str
        Instead of ``from``: one SELECT of DuckDB's SQL, which may read files in the params file's folder and in
        ``data.folders``.
    system : str
        The system it comes from; ids are unique within one.
    crm : str
        The CRM it was exported from.
    timezone : str
        Time zone of its times without an offset; default: the company's.
    deleted : str
        The column that marks deleted rows; usual names are known. With ``values: {deleted: {deleted: [words]}}`` the
        words that do.
    columns : dict of str to form
        Our name of a column to the source's, or to one of the forms of `pipeline.config.column_forms`.
    values : dict of str to dict of str to list of str
        For a column, our word to the source's words.
    ignore : list of str
        Columns of the source that are not looked at.
    known_at_creation : list of str
        Columns that, by a person's word, never change after the row was made.
    """

    from_: Text | None = Field(default=None, alias="from")
    sql: Text | None = None
    system: Text | None = None
    crm: Literal["salesforce", "hubspot", "dynamics", "pipedrive", "zoho", "odoo", "bitrix"] | None = None
    timezone: Zone | None = None
    deleted: Text | None = None
    columns: Annotated[dict[str, ColumnForm], BeforeValidator(blank_as_mapping)] = {}
    values: Annotated[dict[str, dict[str, Texts]], BeforeValidator(blank_as_mapping)] = {}
    ignore: Texts = []
    known_at_creation: Texts = []

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        if (self.from_ is None) == (self.sql is None):
            raise ValueError("needs exactly one of 'from' (a file or a database table) and 'sql' (a query)")
        return self


Sources = Annotated[list[Source], BeforeValidator(listed)]


class SourcesParams(_Strict):
    """The tables of a company; only leads and deals are needed."""

    leads: Sources = Field(min_length=1)
    deals: Sources = Field(min_length=1)
    accounts: Sources = []
    events: Sources = []
    changes: Sources = []
    owners: Sources = []
    rates: Sources = []
    campaigns: Sources = []
    contents: Sources = []
    experiments: Sources = []
    deal_lines: Sources = []
    quotas: Sources = []
    splits: Sources = []

    @model_validator(mode="after")
    def _contract_names(self) -> SourcesParams:
        for table in type(self).model_fields:
            for source in getattr(self, table):
                check_names(f"{table}.columns", source.columns, TABLES[table])
                for column, words in source.values.items():
                    if (table, column) in WORDS:
                        check_names(f"{table}.values.{column}", words, WORDS[table, column])
        return self


class IdentityParams(_Strict):
    """Which records are the same person's."""

    link: Literal["across_systems", "everywhere", "none"] = "across_systems"
    threshold: float = Field(default=0.9, ge=0.5, le=1)
    window_days: int = Field(default=90, ge=1, le=3650)


class DataParams(_Strict):
    """Where the data are and how to read them."""

    timezone: Zone = "UTC"
    known_until: Text | None = None
    folders: Texts = []
    hosts: Texts = []
    amount_window_days: int = Field(default=90, ge=0, le=3650)
    quarantined_share_limit: float = Field(default=0.2, ge=0, le=1)
    definitions: Annotated[dict[str, dict[str, Texts]], BeforeValidator(blank_as_mapping)] = {}
    identity: Annotated[IdentityParams, BeforeValidator(blank_as_mapping)] = IdentityParams()
    sources: SourcesParams


class MoneyParams(_Strict):
    """What revenue means: all that was sold, or what recurs in a year."""

    counts: Literal["bookings", "arr"] = "bookings"


class SnapshotsParams(_Strict):
    """How training rows are drawn."""

    rows_limit: int = Field(default=150_000, ge=1_000)


class FeaturesParams(_Strict):
    """What is looked at."""

    windows_days: Annotated[list[Annotated[int, Field(ge=1, le=3650)]], BeforeValidator(listed)] = Field(
        default=[7, 30, 90], min_length=1
    )


class ModelParams(_Strict):
    """How the forecaster learns."""

    trees: int = Field(default=150, ge=1, le=10_000)
    leaves: int = Field(default=16, ge=2, le=1_024)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    pieces: int = Field(default=8, ge=1, le=32)
    half_life_days: float | None = Field(default=180, gt=0)


class AuditParams(_Strict):
    """What a person vouches for against the audit."""

    keep: Texts = []


class BacktestParams(_Strict):
    """How the past is forecast again."""

    truth: Text | None = None
    cutoffs_count: int = Field(default=3, ge=1, le=50)
    bootstrap_count: int = Field(default=200, ge=0, le=10_000)
    capacity_calls: int = Field(default=100, ge=1, le=10_000_000)


class ScoreParams(_Strict):
    """What a forecast takes for granted."""

    new_words_share_limit: float = Field(default=0.1, ge=0, le=1)


class ServeParams(_Strict):
    """How the web page is reached, and what an owner who sees only own leads is shown besides."""

    company_rank: bool = False
    proxies: Texts = []

    @field_validator("proxies")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        for proxy in value:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(f"'{proxy}' is no address of the internet, such as 10.0.0.5 or 10.0.0.0/24") from None
        return value


class NightlySource(_Strict):
    """What to do when a table's sources are not what they should be tonight."""

    max_age_hours: float | None = Field(default=None, gt=0)
    on_stale: Literal["stop", "degrade"] | None = None


class NightlyParams(_Strict):
    """What a night takes for granted, and how long it keeps what it read."""

    sources: Annotated[dict[str, NightlySource], BeforeValidator(blank_as_mapping)] = {}
    rows_drop_limit: float = Field(default=0.2, ge=0, le=1)
    keep_extract_days: int = Field(default=30, ge=1, le=3650)
    keep_runs_days: int = Field(default=90, ge=1, le=3650)

    @model_validator(mode="after")
    def _contract_names(self) -> NightlyParams:
        check_names("sources", self.sources, SourcesParams.model_fields)
        return self

    def max_age_hours(self, table: str) -> float | None:
        """Hours after which the newest thing in a table's source is too old; None: however old."""
        return self.sources.get(table, NightlySource()).max_age_hours

    def on_stale(self, table: str) -> Literal["stop", "degrade"]:
        """Say what a stale source does to the night: without leads and deals it stops, without others it goes on."""
        rule = self.sources.get(table, NightlySource()).on_stale
        return rule or ("stop" if table in ("leads", "deals") else "degrade")


class MlflowParams(_Strict):
    """Where runs and models are kept."""

    tracking_uri: Text = "sqlite:///mlflow.db"
    experiment: Text | None = None
    model_name: Text | None = None


Definition = dict[str, Texts]


class Params(_Strict):
    """A whole params file.

    Every part is as written; `folder` is where the file lies, and what relative paths in it start from.
    """

    company: Text
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    seed: int = Field(default=0, ge=0, lt=2**31)
    engine: Literal["duckdb", "pyspark"] = "duckdb"
    fiscal_year_start_month: int = Field(default=1, ge=1, le=12)
    horizons_days: Annotated[list[Annotated[int, Field(ge=1, le=3650)]], BeforeValidator(listed)] = Field(
        default=[30, 90, 180, 365], min_length=1
    )
    primary_horizon_days: int = 90
    artifacts: Text = "artifacts"
    data: DataParams
    money: Annotated[MoneyParams, BeforeValidator(blank_as_mapping)] = MoneyParams()
    stages: Annotated[dict[str, Any], BeforeValidator(stage_rules)] = {}
    definitions: Annotated[dict[str, Definition], BeforeValidator(blank_as_mapping)] = {}
    snapshots: Annotated[SnapshotsParams, BeforeValidator(blank_as_mapping)] = SnapshotsParams()
    features: Annotated[FeaturesParams, BeforeValidator(blank_as_mapping)] = FeaturesParams()
    model: Annotated[ModelParams, BeforeValidator(blank_as_mapping)] = ModelParams()
    audit: Annotated[AuditParams, BeforeValidator(blank_as_mapping)] = AuditParams()
    capacity: Annotated[CapacityParams, BeforeValidator(blank_as_mapping)] = CapacityParams()
    campaigns: Annotated[CampaignsParams, BeforeValidator(blank_as_mapping)] = CampaignsParams()
    plan: Annotated[PlanParams, BeforeValidator(blank_as_mapping)] = PlanParams()
    experiments: Annotated[dict[str, ExperimentParams], BeforeValidator(blank_as_mapping)] = {}
    backtest: Annotated[BacktestParams, BeforeValidator(blank_as_mapping)] = BacktestParams()
    score: Annotated[ScoreParams, BeforeValidator(blank_as_mapping)] = ScoreParams()
    serve: Annotated[ServeParams, BeforeValidator(blank_as_mapping)] = ServeParams()
    nightly: Annotated[NightlyParams, BeforeValidator(blank_as_mapping)] = Field(default_factory=NightlyParams)
    deliver: Annotated[DeliverParams, BeforeValidator(blank_as_mapping)] = Field(default_factory=DeliverParams)
    monitor: Annotated[MonitorParams, BeforeValidator(blank_as_mapping)] = MonitorParams()
    mlflow: Annotated[MlflowParams, BeforeValidator(blank_as_mapping)] = MlflowParams()
    _folder: Path = PrivateAttr(Path("."))

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if sorted(set(self.horizons_days)) != self.horizons_days:
            raise ValueError("horizons_days: must rise, each horizon once")
        if self.primary_horizon_days not in self.horizons_days:
            raise ValueError(f"primary_horizon_days: {self.primary_horizon_days} is not one of {self.horizons_days}")
        return self

    @property
    def every_definition(self) -> dict[str, Definition]:
        """Whom each department means by a lead: ``definitions``, and those still written as ``data.definitions``."""
        return {**self.data.definitions, **self.definitions}

    @property
    def folder(self) -> Path:
        """Folder of the params file."""
        return self._folder

    @property
    def artifacts_folder(self) -> Path:
        """Folder that outputs go to."""
        return (self._folder / self.artifacts).resolve()

    @property
    def archive_folder(self) -> Path:
        """Folder of what is kept for ever: extracts and forecasts, night by night."""
        return self.artifacts_folder / "archive"

    @property
    def runs_folder(self) -> Path:
        """Folder of what each nightly run did."""
        return self.artifacts_folder / "runs"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs, with a relative SQLite path or folder resolved from the params file."""
        uri = self.mlflow.tracking_uri
        if match := re.fullmatch(r"sqlite:///([^/].*)", uri):
            return f"sqlite:///{(self._folder / match.group(1)).resolve()}"
        return uri if "://" in uri or uri == "databricks" else str((self._folder / uri).resolve())

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return self.mlflow.experiment or self.company

    @property
    def model_name(self) -> str:
        """Name of the registered model."""
        if self.mlflow.model_name:
            return self.mlflow.model_name
        plain = re.sub(r"[^a-z0-9]+", "-", self.company.lower()).strip("-")
        if all(letter.isascii() for letter in self.company if letter.isalnum()) and plain:
            return f"leadrev-{plain}"
        # Letters that a name in the registry may not have: the name's own digest keeps companies apart.
        return "-".join(part for part in ("leadrev", plain, sha256(self.company.encode()).hexdigest()[:8]) if part)


PARTS: dict[Any, Any] = {
    list[Source]: Source, dict[str, NightlySource]: NightlySource, dict[str, ExperimentParams]: ExperimentParams,
}  # fmt: skip


def _fields_at(keys: tuple[Any, ...]) -> list[str]:
    """Keys allowed in the part of the file that the dotted key leads to."""
    model: Any = Params
    of_any_name = False
    for key in keys:
        if isinstance(key, int) or of_any_name:
            of_any_name = False
            continue
        fields = {(field.alias or name): field for name, field in model.model_fields.items()}
        if key not in fields and model is DeliverParams:
            model = SinkParams
            continue
        if key not in fields:
            return []
        inner = fields[key].annotation
        model = PARTS.get(inner, inner)
        of_any_name = model in (NightlySource, ExperimentParams)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _explain(error: ValidationError, content: dict[str, Any], path: Path, node: Any) -> UserError:
    """Say the first mistake in one line: the dotted key, what was found, what is allowed."""
    first = error.errors(include_url=False)[0]
    keys: list[Any] = []
    inner: Any = content
    for key in first["loc"]:
        if isinstance(key, int) and not isinstance(inner, list):
            continue  # a source written without a list
        keys.append(key)
        try:
            inner = inner[key]
        except (KeyError, IndexError, TypeError):
            inner = None
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(tuple(keys[:-1]))
        message = f"unknown key{near_miss(keys[-1], allowed)} Allowed: {', '.join(allowed)}"
    elif first["type"] == "missing":
        message = "is missing"
        allowed = _fields_at(tuple(keys[:-1]))
        written = content
        for key in keys[:-1]:
            written = written[key]
        extra = [name for name in written if name not in allowed] if isinstance(written, dict) else []
        if near := difflib.get_close_matches(str(keys[-1]), [str(name) for name in extra], n=1):
            keys[-1], message = near[0], f"unknown key; did you mean '{keys[-1]}'? Allowed: {', '.join(allowed)}"
    elif first["type"] != "value_error":
        found = first.get("input")
        message = f"found {found!r}; {message[0].lower()}{message[1:]}"
    elif match := re.match(r"([a-z_0-9.]+): (.*)", message, flags=re.DOTALL):
        keys += match.group(1).split(".")
        message = match.group(2)
    dotted = ".".join(str(key) for key in keys)
    others = error.error_count() - 1
    more = f" (and {others} more)" if others else ""
    return UserError(f"{path} line {line_of(node, tuple(keys))}: {dotted}: {message.rstrip('.')}.{more}")


def load_params(path: str | Path) -> Params:
    """Read and check a params file.

    Parameters
    ----------
    path : str or Path
        A YAML file as the design's data contract describes it.

    Returns
    -------
    Params
        With every default filled in.

    Raises
    ------
    UserError
        In one line: the file and line, the dotted key, what was found and what is allowed.
    """
    path = Path(path)
    content, node = read_yaml(path)
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise _explain(error, content, path, node) from None
    params._folder = path.resolve().parent
    return params
