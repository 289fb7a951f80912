"""The pages and the report in a real browser: by keyboard, on a phone, in the dark, on paper, and for axe."""

import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from made_up_scores import NASTY_NAME, bearer, made_up_backtest, write_scores
from made_up_scores import served as served_params

from pipeline.common.seals import sealed_json
from pipeline.reporting import html, sales_report
from pipeline.reporting.lead_details import Details
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import score_cache
from pipeline.web.app import create_app

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]
ROWS = 130
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server in this process, and the report on disk."""
    import uvicorn

    folder = tmp_path_factory.mktemp("seen")
    names = write_scores(folder, ROWS)
    (folder / "backtest.json").write_bytes(sealed_json(made_up_backtest()))
    ranking = Ranking(folder, names, "Europe/Berlin")
    (folder / "report.html").write_text(
        html.render_report(sales_report.report_content(ranking, made_up_backtest(), Details(folder)))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_cache, "open_ranking", lambda params: Ranking(folder, names, "Europe/Berlin"))
        app = create_app(served_params(folder))
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    lead = ranking.page(sales_report.Filters(), limit=3)[2]["lead_id"]
    nasty = next(row["lead_id"] for row in names.to_pylist() if row["name"] == NASTY_NAME)
    home = f"http://127.0.0.1:{port}"
    yield SimpleNamespace(home=home, lead=f"{home}/leads/{lead}", nasty=f"{home}/leads/{nasty}",
                          compare=f"{home}/compare?lead={lead}&lead={nasty}", report=f"file://{folder}/report.html",
                          folder=folder, lead_id=lead, headers=bearer(app))  # fmt: skip
    running.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, site):
    """Open an address; at the end no page may have complained or asked another host."""
    contexts, wrong, expected = [], [], []

    def open_page(address, **options):
        context = browser.new_context(extra_http_headers=site.headers, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url.split(":")[0] == "https" else None)
        page.goto(address)
        return page

    open_page.expected = expected
    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in wrong if not any(part in text for part in expected)] == []


VIEWS = ("home", "lead", "nasty", "compare", "report")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_no_view_has_an_accessibility_violation(site, opened, view, scheme):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened(getattr(site, view), color_scheme=scheme, bypass_csp=True))
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_scrolls_sideways_on_a_phone(site, opened, view):
    page = opened(getattr(site, view), viewport=PHONE, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_lead_of_the_report_fits_a_phone_and_has_no_violation(site, opened):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(f"{site.report}#lead-{site.lead_id}", viewport=PHONE, is_mobile=True, bypass_csp=True, offline=True)
    assert page.locator("#one h2").first.is_visible()
    assert page.locator("#one .over-time polyline.drawn").is_visible()
    assert page.locator("#one h3:text-is('What happened')").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert Axe().run(page).violations_count == 0


def test_by_keyboard_alone_from_the_list_to_an_answer(site, opened):
    page = opened(site.home)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.get_by_label("Search name, company or id").focus()
    page.keyboard.type(site.lead_id)
    page.keyboard.press("Enter")
    page.wait_for_url("**/?search=*")
    assert "This filter hides" in page.inner_text("main")

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", "where the keyboard is can be seen"
                return
        raise AssertionError(f"{selector} is not reached by keyboard")

    tab_to("td.who a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/leads/*")
    tab_to("form.answer button")
    page.keyboard.press("Enter")
    page.locator("[role=status]", has_text="Stored").wait_for()
    page.reload()
    assert "Already talking" in page.inner_text("#answers")


def test_an_answer_that_gets_no_reply_is_reported_and_can_be_sent_again(site, opened):
    page = opened(site.lead)
    opened.expected.append("503")
    page.route("**/api/v1/answers", lambda route: route.fulfill(status=503, json={"detail": "The disk is full."}))
    button = page.get_by_role("button", name="Not a lead")
    before = page.locator("#answers").inner_text() if page.locator("#answers").count() else ""
    button.click()
    page.locator("[role=status]", has_text="Not stored: The disk is full.").wait_for()
    assert button.is_enabled()
    assert "Not a lead" not in before


def test_two_ticked_leads_are_compared_and_text_is_copied(site, opened):
    page = opened(site.home, permissions=["clipboard-read", "clipboard-write"])
    for place in (0, 1):
        page.locator("input[type=checkbox]").nth(place).check()
    page.get_by_role("button", name="Compare the two ticked").click()
    page.get_by_role("heading", name="Where the difference comes from").wait_for()
    page.goto(site.lead)
    page.get_by_role("button", name="Copy the text").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#mail").input_value()


def test_a_name_that_is_a_script_stays_a_name(site, opened):
    for address in (site.nasty, site.report):
        page = opened(address)
        assert NASTY_NAME in page.inner_text("body")
        assert page.locator("body script:not([type])").count() <= 1


def test_dark_is_dark_and_print_is_black_on_white(site, opened):
    brightness = (
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    )
    page = opened(site.lead, color_scheme="dark")
    assert page.evaluate(brightness) < 150
    page.emulate_media(media="print")
    assert page.evaluate(brightness) == 3 * 255
    assert not page.get_by_role("button", name="Not a lead").is_visible()
    assert page.get_by_role("heading", name="Why").is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_the_report_filters_offline_and_says_what_is_hidden(site, opened):
    page = opened(site.report, offline=True)
    page.get_by_label("Owner").select_option(label="Ana Costa")
    page.locator("#effect", has_text="This filter hides").wait_for()
    page.get_by_label("Search name, company or id").fill("no such company")
    page.get_by_text("No lead passes this filter").wait_for()
