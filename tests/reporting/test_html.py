"""Pages say what the figures say, escape what people typed, and need nothing from another host."""

import json
import re

import pytest
from html_checks import assert_alone
from made_up_scores import made_up_audit, made_up_backtest

from pipeline.common import formatting
from pipeline.reporting import backtest_page, svg_charts, waterfall
from pipeline.reporting import html as pages

BAD = "<script>alert(1)</script>"


@pytest.mark.parametrize("audit", [{}, made_up_audit(), {"reconciliation": {"months": [], "differences": []}}])
def test_audit_page_stands_alone_whatever_is_absent(audit):
    assert_alone(pages.render_audit(audit))


def test_audit_page_shows_every_part_and_escapes_it():
    audit = made_up_audit() | {"excluded": {"lead_x": BAD}, "company": BAD}
    html = pages.render_audit(audit)
    assert BAD not in html
    assert "&lt;script&gt;" in html
    for text in ("€150,001.25", "€149,501.25", "deals.csv row 14", "Only 12 deals", "sales accepted", "1,397"):
        assert text in html
    assert "2 won deals belong to no lead (€1,800.00)" in html


def test_audit_page_shows_how_much_of_each_ending_a_column_kept_out_fills():
    figures = {"key": "lead_x", "verdict": "kept out", "code": "filled", "filled_won": 0.91, "filled_others": 0.02}
    html = pages.render_audit(made_up_audit() | {"excluded": {"lead_x": "why"}, "columns": [figures]})
    assert "91%" in html
    assert "2%" in html


@pytest.mark.parametrize("money", [True, False])
def test_backtest_page_stands_alone_with_and_without_amounts(money):
    html = backtest_page.render_backtest(made_up_backtest(money))
    assert_alone(html)
    assert "with care" in html
    assert html.index("As of 14 Feb 2026") < html.index("As of 15 Nov 2025"), "the newest cutoff comes first"
    assert ("Revenue: forecast ÷ actual</abbr>" in html) == money
    assert BAD not in html
    assert "&lt;script&gt;" in html, "a source with a nasty name"
    assert "<strong>better</strong> +0.040" in html
    assert "<strong>better</strong> −0.0100" in html, "a lower Brier score is better"


def test_accuracy_says_nothing_without_a_backtest():
    assert waterfall.accuracy(None) == []
    assert waterfall.accuracy({"cutoffs": []}) == []
    said = " ".join(waterfall.accuracy(made_up_backtest()))
    assert "61; actual: 58" in said
    assert "€678k; actual: €640k" in said


def test_script_data_cannot_leave_its_block():
    value = {"a": "</script><!--<b>&\u2028\u2029", "b": [1, None]}
    text = pages.script_data(value)
    assert "<" not in text
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//x", "", None, "http://["]
)
def test_only_web_addresses_become_links(url):
    assert pages.web_link(url) is None
    assert pages.web_link("https://crm.example/1") == "https://crm.example/1"


def test_bars_stay_inside_their_cell():
    for draw in (svg_charts.bar, svg_charts.balance_bar):
        for share in (-3.0, -0.4, 0.0, 0.4, 3.0):
            rect = re.search(r"<rect[^>]*>", draw(share)).group()
            start = float((re.search(r' x="([\d.]+)%', rect) or [0, 0])[1])
            width = float(re.search(r'width="([\d.]+)%', rect)[1])
            assert start >= 0
            assert start + width <= 100.01
        assert draw(None) == draw(float("nan")) == ""


def test_calibration_plot_clips_nothing():
    groups = [(0.0, 0.0, 3, 0.0, 0.1), (0.03, 0.05, 900, None, None), (0.9, 1.0, 1, 0.9, 1.0)]
    svg = svg_charts.calibration_plot(groups, "won within 90 days")
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    for cx, cy, r in re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', svg):
        assert float(cx) - float(r) >= 0
        assert float(cx) + float(r) <= width
        assert float(cy) - float(r) >= 0
        assert float(cy) + float(r) <= height


def test_unknown_is_said_as_unknown():
    for write in (formatting.percent, formatting.points, formatting.days, formatting.count):
        assert write(None) == write(float("nan")) == formatting.UNKNOWN
    assert formatting.money(None, "EUR") == formatting.money_short(float("inf"), "EUR") == formatting.UNKNOWN


def test_text_colours_have_enough_contrast():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(a, b):
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    schemes = re.findall(r":root \{([^}]*--page[^}]*--tag[^}]*)\}", pages.source("style.css"))
    assert len(schemes) == 2
    for scheme in schemes:
        colour = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for ground in ("page", "panel", "tag"):
            assert contrast(colour["text"], colour[ground]) >= 7
        for ground in ("page", "panel"):
            for ink in ("quiet", "link", "for", "against"):
                assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
        for ink in ("first", "third"):
            assert contrast(colour[ink], colour["page"]) >= 3, ink
