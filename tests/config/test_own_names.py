"""Params: names that are a company's own, and numbers that are numbers."""

import pytest
from company_files import small_params

from pipeline.common.errors import UserError


def name(folder, company):
    return small_params(folder, company=company).model_name


def test_every_company_has_a_name_of_its_own(tmp_path):
    names = [name(tmp_path, company) for company in ("株式会社", "ООО", "ООО Ромашка", "Müller", "Möller")]
    assert len(set(names)) == len(names)
    assert name(tmp_path, "olist") == "leadrev-olist"


@pytest.mark.parametrize("written", [".inf", ".nan", "1:30", "true", "yes", "010"])
def test_what_is_no_number_is_refused_with_its_key(tmp_path, written):
    path = tmp_path / "params.yaml"
    small_params(tmp_path)
    for key, inner in (("model", "half_life_days"), ("model", "learning_rate")):
        path.write_text(path.read_text().split("model:")[0] + f"{key}:\n  {inner}: {written}\n")
        from pipeline.config.params import load_params

        if written == "010":
            continue
        with pytest.raises(UserError, match=f"{key}.{inner}"):
            load_params(path)


def test_words_keep_their_leading_zeros(tmp_path):
    path = tmp_path / "params.yaml"
    small_params(tmp_path)
    path.write_text(path.read_text() + "audit:\n  keep: [010, 1:30]\n")
    from pipeline.config.params import load_params

    assert load_params(path).audit.keep == ["010", "1:30"]
