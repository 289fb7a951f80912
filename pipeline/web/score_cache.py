"""The last finished scores, opened once and kept, and the answers that people give to them."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import HTTPException

from pipeline.archive.feedback import FILE, AnswerStore
from pipeline.common.errors import UserError
from pipeline.common.masking import masked, place_of
from pipeline.common.seals import SealError
from pipeline.config.params import Params
from pipeline.reporting import html, waterfall
from pipeline.reporting.lead_details import Details
from pipeline.reporting.ranked_leads import SEALED, Ranking, open_ranking, read_backtest
from pipeline.reporting.sales_report import now_and_later
from pipeline.web.tokens import Person

Seal = tuple[tuple[int, int, int] | None, ...]


class ScoreSet:
    """One run's scores and what stands beside them.

    Parameters
    ----------
    params : Params
        Its artifacts folder holds the files.
    """

    def __init__(self, params: Params):
        self.ranking = open_ranking(params)
        self.details = Details(params.artifacts_folder)
        self.backtest = read_backtest(params.artifacts_folder)
        self._company_rank = params.serve.company_rank
        self._own: dict[str, Ranking] = {}
        self._making = threading.Lock()
        self._overviews: dict[str | None, dict[str, Any]] = {}

    def ranking_for(self, person: Person) -> Ranking:
        """Return the scores as somebody may see them: every lead, or only their own."""
        if person.owner_id is None:
            return self.ranking
        with self._making:
            if person.owner_id not in self._own:
                self._own[person.owner_id] = self.ranking.of_owner(person.owner_id, company_rank=self._company_rank)
            return self._own[person.owner_id]

    def accuracy(self, ranking: Ranking) -> list[str]:
        """Say how right the last backtest was; nothing to an owner, as it counts everybody's leads."""
        return [] if ranking.owner_id is not None else waterfall.accuracy(self.backtest, ranking.timezone)

    def verdict(self, ranking: Ranking) -> dict[str, Any]:
        """Give the verdict of the last backtest; nothing to an owner."""
        return {} if ranking.owner_id is not None else (self.backtest or {}).get("verdict") or {}

    def overview(self, ranking: Ranking) -> dict[str, Any]:
        """Return what stands above the list: worked out once for whoever may see the same leads."""
        if ranking.owner_id not in self._overviews:
            facet = ranking.segment() if ranking.has_money else None
            self._overviews[ranking.owner_id] = {
                "segments": ranking.by(facet) if facet else [],
                "segment_label": html.FACETS[facet] if facet else "",
                **now_and_later(ranking),
            }
        return self._overviews[ranking.owner_id]


class ScoreCache:
    """The last finished scores: opened once, and again, beside the answers, when a new run has written its seal."""

    def __init__(self, params: Params):
        self.params = params
        self.seal = self._seal()
        self.damaged = False
        self.scores = ScoreSet(params)
        self.answers = AnswerStore(params.artifacts_folder / FILE)
        self._opening = threading.Lock()

    def _seal(self) -> Seal | None:
        """Tell by times and sizes of the files whether any was written since."""
        folder = self.params.artifacts_folder
        if not (folder / "manifest.json").exists():  # a run is just writing, or failed: the scores in memory stay
            return None
        found: list[tuple[int, int, int] | None] = []
        for name in ("manifest.json", *SEALED):
            try:
                status = (folder / name).stat()
                found.append((status.st_mtime_ns, status.st_ino, status.st_size))
            except OSError:
                found.append(None)
        return tuple(found)

    def get(self) -> ScoreSet:
        """Return the scores to answer from.

        Raises
        ------
        HTTPException
            503 while the files are not those that a run has sealed.
        """
        seal = self._seal()
        if seal not in (None, self.seal) and self._opening.acquire(blocking=False):
            threading.Thread(target=self._open, args=(seal,), daemon=True).start()
        if self.damaged:
            raise HTTPException(503, "The files of the scores were changed since they were written. Score again.")
        return self.scores

    def _open(self, seal: Seal) -> None:
        try:
            self.scores = ScoreSet(self.params)
            self.damaged = False
        except SealError as error:
            self.damaged = self._seal() is not None  # else a run is just writing them
            print(f"scores not shown: {masked(str(error))}", flush=True)
        except UserError as error:
            print(f"new scores not shown: {masked(str(error))}", flush=True)
        except Exception as error:  # a thread would print it with its words
            print(f"new scores not shown: {place_of(error)}", flush=True)
        finally:
            self.seal = seal
            self._opening.release()
