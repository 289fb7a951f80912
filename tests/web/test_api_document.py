"""Every path of the API's own document does what the document says, whatever it is asked."""

import hypothesis
import pytest
import schemathesis
from made_up_scores import made_up_backtest, write_scores
from made_up_scores import served as served_params

from pipeline.common.seals import sealed_json
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import auth, score_cache
from pipeline.web.app import create_app
from pipeline.web.tokens import Person

PATHS = {
    ("GET", "/api/v1/summary"),
    ("GET", "/api/v1/leads"),
    ("GET", "/api/v1/leads/{lead_id}"),
    ("GET", "/api/v1/compare"),
    ("GET", "/api/v1/answers"),
    ("POST", "/api/v1/answers"),
}


@pytest.fixture(scope="module", params=[None, "ana"], ids=["everybody", "owner"])
def document(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("document")
    names = write_scores(folder, 20)
    (folder / "backtest.json").write_bytes(sealed_json(made_up_backtest()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_cache, "open_ranking", lambda params: Ranking(folder, names))
        app = create_app(served_params(folder))
        # the guard lets in whoever sits here: its refusals are tested in test_access.py
        patch.setattr(auth.Access, "knows_host", lambda self, request: True)
        patch.setattr(auth.Access, "person", lambda self, asked: Person("Max", request.param))
        yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)


def operations(document):
    return {(found.ok().method.upper(), found.ok().path): found.ok() for found in document.get_all_operations()}


def test_the_document_has_every_path(document):
    assert set(operations(document)) == PATHS


@pytest.mark.parametrize(("method", "path"), sorted(PATHS))
def test_a_path_keeps_to_its_document(document, method, path):
    operation = operations(document)[method, path]

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(
        max_examples=15, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    def asked(case):
        case.call_and_validate(excluded_checks=[schemathesis.checks.CHECKS.get_one("unsupported_method")])

    asked()


@pytest.mark.parametrize("lead_id", ["L000003", "L000004"])
def test_a_lead_that_is_there_keeps_to_its_document(request, document, lead_id):
    operation = operations(document)["GET", "/api/v1/leads/{lead_id}"]
    answer = operation.Case(path_parameters={"lead_id": lead_id}).call_and_validate(
        excluded_checks=[schemathesis.checks.CHECKS.get_one("unsupported_method")]
    )
    if "owner" in request.node.callspec.id and answer.status_code == 404:
        return  # another owner's lead is as one that is not there
    told = answer.json()
    assert told["typical"] + sum(theme["weight"] for theme in told["themes"]) == pytest.approx(told["lead"]["revenue"])
    assert [point["p_win"] for point in told["curve"]] == sorted(point["p_win"] for point in told["curve"])
    points = {point["days"]: point["p_win"] for point in told["curve"]}
    for days in (30, 90, 180, 365):
        assert points[days] >= told["lead"][f"p_win_{days}d"]
