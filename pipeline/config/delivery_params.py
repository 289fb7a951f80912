"""Where forecasts are delivered: one sink a name, and what counts as a change."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.param_types import STRICT, Text, blank_as_mapping

DATABASES = ("postgresql", "postgres", "sqlite")
MAIL = ("smtp", "smtps")
FORMS = (
    "postgresql://user@host/database/schema.table, sqlite:///file.db/table, a folder ending in / (Parquet), "
    "a file ending in .csv, or smtp://host:587"
)
OF_MAIL = ("from", "digest", "top", "password_file")
OF_ROWS = ("key", "fields", "system")


class SinkParams(BaseModel):
    """One place that forecasts go to.

    Parameters
    ----------
    to : str
        The address, without a password: it says which kind of sink it is.
    key : str
        Name of the sink's column that holds the id of the lead's record.
    fields : dict of str to str
        The sink's columns, and what of ours goes into each; empty: the usual ones under our names.
    system : str, optional
        Only the records of this system (``system`` of a source), under their own ids.
    from_ : str, written ``from``
        The address that mails come from.
    digest : str
        Whose mails: ``owner``, each salesperson's list and each manager's.
    top : int
        Leads in a salesperson's mail, at most.
    password_file : str, optional
        File with the mail server's password, outside the params file; default: ``LEADREV_SMTP_PASSWORD``.
    """

    model_config = STRICT

    to: Text
    key: Text = "lead_id"
    fields: Annotated[dict[str, Text], BeforeValidator(blank_as_mapping)] = {}
    system: Text | None = None
    from_: Text | None = Field(default=None, alias="from")
    digest: Literal["owner"] = "owner"
    top: int = Field(default=10, ge=1, le=100)
    password_file: Text | None = None

    @property
    def kind(self) -> Literal["postgresql", "sqlite", "parquet", "csv", "mail"]:
        """What kind of sink it is."""
        scheme = self.to.partition("://")[0]
        if scheme in MAIL:
            return "mail"
        if scheme in DATABASES:
            return "sqlite" if scheme == "sqlite" else "postgresql"
        return "csv" if self.to.lower().endswith(".csv") else "parquet"

    @model_validator(mode="after")
    def _of_its_kind(self) -> SinkParams:
        scheme, separator, _ = self.to.partition("://")
        known = scheme in (*DATABASES, *MAIL) if separator else self.to.lower().endswith((".csv", "/"))
        if not known:
            raise ValueError(f"to: found '{_shown(self.to)}'; allowed: {FORMS}")
        if separator and _has_password(self.to):
            raise ValueError(
                "to: holds a password; leave it to the environment (PGPASSWORD or ~/.pgpass, LEADREV_SMTP_PASSWORD) or "
                "to password_file"
            )
        if self.kind == "sqlite" and not re.fullmatch(r"sqlite:///.+/[^/]+", self.to):
            raise ValueError("to: a SQLite table is written sqlite:///file.db/table")
        if self.kind == "postgresql" and self.to.partition("://")[2].partition("?")[0].count("/") < 2:
            raise ValueError("to: a PostgreSQL table is written postgresql://user@host/database/schema.table")
        given = {"from" if name == "from_" else name for name in self.model_fields_set}
        for name in OF_ROWS if self.kind == "mail" else OF_MAIL:
            if name in given:
                raise ValueError(f"{name}: is nothing that a sink of this kind uses ({_shown(self.to)})")
        if self.kind == "mail" and not re.fullmatch(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+", self.from_ or ""):
            raise ValueError(f"from: found {self.from_!r}; mails need the one address that they come from")
        if self.key in self.fields:
            raise ValueError(f"fields: '{self.key}' is the key, which is always delivered; leave it out")
        if self.kind != "mail" and len({name.casefold() for name in (self.key, *self.fields)}) <= len(self.fields):
            raise ValueError("fields: two of them are one column in another case")
        return self


class OnlyChanges(BaseModel):
    """What counts as a change against the value delivered last.

    Parameters
    ----------
    money_share : float
        Share by which an amount, a probability or a number of days must have moved.
    score : float
        Points by which the score must have moved.
    reasons : bool
        Whether other reasons are a change.
    """

    model_config = STRICT

    money_share: float = Field(default=0.05, ge=0, le=10)
    score: float = Field(default=3, ge=0, le=99)
    reasons: bool = True


class DeliverParams(BaseModel):
    """Sinks, each under a name of its own, and what holds for all of them.

    Parameters
    ----------
    only_changes : OnlyChanges
    attempts : int
        How often a row is tried before it is parked.
    """

    model_config = ConfigDict(**{**STRICT, "extra": "allow"})
    __pydantic_extra__: dict[str, SinkParams] = Field(init=False)

    only_changes: Annotated[OnlyChanges, BeforeValidator(blank_as_mapping)] = OnlyChanges()
    attempts: int = Field(default=8, ge=1, le=100)

    @property
    def sinks(self) -> dict[str, SinkParams]:
        """Every sink by its name, in the order of the params."""
        return dict(self.__pydantic_extra__ or {})


def _has_password(address: str) -> bool:
    user, at, _ = address.partition("://")[2].rpartition("@")
    return bool(at and ":" in user) or re.search(r"(?i)[?&][a-z_]{0,40}pass(word)?=", address) is not None


def _shown(address: str) -> str:
    """Give an address without what may be a secret: its scheme and host, or the path."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else address
