"""The playground in a real browser: it writes, tells, stays on this server, and nothing that is shown can act."""

import re

import pytest

from components.applications import APPLICATIONS
from tests.browser import browsing
from tests.components.core.test_pages import Outline
from tests.components.serve.conftest import TAUGHT
from tests.components.serve.world import running

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
IDLE = "!document.getElementById('go').disabled && document.querySelectorAll('.token').length > 0"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser, server):
    browser.complaints.clear()
    browser.addresses.clear()
    browser.show_as(1200, 900, is_dark=False)
    browser.open(server.url + "/")
    browser.wait_until("document.getElementById('version').options.length === 5")
    yield browser
    assert browser.complaints == []
    assert all(address.startswith((server.url, "data:")) for address in browser.addresses)
    assert browser.value("document.title") == "Playground · Pedigree"


def write(page, prompt, **options):
    """Complete a prompt by keyboard alone."""
    for name, value in {"seed": 1, "max_tokens": 30, **options}.items():
        page.value(f"void (document.getElementById('{name}').value = {value!r})")
    page.value("(() => { const p = document.getElementById('prompt'); p.focus(); p.select(); })()")
    page.type(prompt)
    page.press("Enter", modifiers=2)
    page.wait_until(IDLE)


def test_a_text_is_completed_and_every_token_tells_its_probability(page, server):
    write(page, "The model")
    expected = server.complete("The model", max_tokens=30, seed=1, temperature=0.8, top_k=50).json()
    assert page.value("document.getElementById('text').textContent") == "The model" + expected["choices"][0]["text"]
    assert re.match(
        r"30 tokens, \d+ tokens/s, first after \d+ ms", page.value("document.getElementById('speed').value")
    )
    assert "tiny@1" in page.value("document.getElementById('answered').textContent")
    page.point_at(".token")
    told = page.value("document.getElementById('told').textContent")
    assert re.search(r"\d %. Likeliest here: .+ [\d.]+ %", told)
    page.value("document.getElementById('text').focus()")
    page.press("ArrowRight")
    page.press("ArrowRight")
    assert page.value("document.getElementById('told').textContent") != told
    assert page.value("document.querySelectorAll('.token.on').length") == 1


def test_a_conversation_is_held_by_keyboard(page):
    for name, value in {"seed": 1, "max_tokens": 30}.items():  # or the first answer may fill the whole context
        page.value(f"void (document.getElementById('{name}').value = {value})")
    page.value("document.querySelector('[value=chat]').click()")
    page.value("document.getElementById('message').focus()")
    for _ in range(2):
        page.type("Hello there")
        page.press("Enter")
        page.wait_until(IDLE + " && document.getElementById('message').value === ''")
    assert page.value("[...document.querySelectorAll('.who')].map((e) => e.textContent).join()") == (
        "You,Model,You,Model"
    )
    assert page.value("document.querySelectorAll('.turns .assistant .token').length") > 2


def choose_application(page, name):
    page.wait_until("document.getElementById('application').options.length > 0")
    page.value("document.querySelector('[value=apply]').click()")
    page.value(f"(() => {{ const s = document.getElementById('application'); s.value = {name!r};"
               " s.dispatchEvent(new Event('change')); })()")  # fmt: skip


def ask_application(page, name):
    """Its example, by keyboard alone."""
    choose_application(page, name)
    page.value("document.querySelector('#fields textarea').focus()")
    page.press("Enter", modifiers=2)
    page.wait_until("!document.getElementById('go').disabled && document.getElementById('answered').textContent !== ''")


def test_every_application_that_the_version_learned_is_tried_with_its_example(page, server):
    page.wait_until("document.getElementById('application').options.length === 5")
    for name in TAUGHT:
        page.value("void (document.getElementById('answered').textContent = '')")
        ask_application(page, name)
        example = APPLICATIONS[name].example.model_dump(mode="json")
        expected = server.client.post(f"/v1/applications/{name}", json=example).json()
        shown = page.value("[...document.querySelectorAll('#ranked li span:first-child')].map((e) => e.textContent)")
        assert shown == [choice["text"] for choice in expected["choices"]]
        if expected["tokens"]:
            assert page.value("document.getElementById('text').textContent") == expected["text"]
            page.point_at("#text .token")
            assert "Likeliest here: " in page.value("document.getElementById('told').textContent")
            assert re.match(r"\d+ tokens, \d+ tokens/s", page.value("document.getElementById('speed').value"))
        assert "tiny@1" in page.value("document.getElementById('answered').textContent")
    assert page.value("document.querySelectorAll('main img, main script').length") == 0


def test_a_version_that_learned_nothing_offers_what_it_answers_and_a_field_that_is_no_json_is_told(page):
    choose_application(page, "chat")
    page.value("void (document.querySelector('#fields textarea').value = 'no json')")
    page.value("document.getElementById('go').click()")
    assert "this is no JSON" in page.value("document.getElementById('error').textContent")
    page.value("(() => { const s = document.getElementById('version'); s.value = 'tiny@2';"
               " s.dispatchEvent(new Event('change')); })()")  # fmt: skip
    page.wait_until("document.getElementById('application').options.length === 1")
    page.value("void (document.getElementById('answered').textContent = '')")
    ask_application(page, "grammar")
    assert page.value("document.querySelectorAll('#ranked li').length") == 2
    assert "tiny@2" in page.value("document.getElementById('answered').textContent")
    page.value("document.querySelector('[value=chat]').click()")
    assert not page.value("document.getElementById('base').hidden")


def test_another_version_is_switched_to_and_its_card_and_pedigree_are_one_click_away(page):
    page.value("void (document.getElementById('version').value = 'tiny@2')")
    write(page, "The model")
    assert "tiny@2" in page.value("document.getElementById('answered').textContent")
    page.value("document.getElementById('origin').click()")
    page.wait_until("document.getElementById('paper').open")
    assert page.value("document.getElementById('paper-card').textContent").startswith("# tiny@2\n<script>")
    assert "corpus <img" in page.value("document.getElementById('paper-made').textContent")
    assert page.value("document.getElementById('paper-page').getAttribute('href')") == "/versions/tiny%402"
    page.press("Escape")
    page.wait_until("!document.getElementById('paper').open")


def test_scripts_in_prompts_and_answers_are_shown_and_do_nothing(page):
    write(page, HOSTILE)  # sets the seed and the length for the conversation too
    assert page.value("document.getElementById('text').textContent").startswith(HOSTILE)
    page.value("document.querySelector('[value=chat]').click()")
    page.value("document.getElementById('message').focus()")
    page.type(HOSTILE)
    page.press("Enter")
    page.wait_until("document.querySelectorAll('.turns .assistant .token').length > 0")
    assert page.value("document.querySelectorAll('main img, main script, dialog img').length") == 0


def test_a_refusal_is_told_and_a_text_can_be_stopped(page, server):
    page.value("void (document.getElementById('max_tokens').value = 99999)")
    page.value("document.getElementById('go').click()")
    page.wait_until("!document.getElementById('error').hidden")
    assert "maximum context length" in page.value("document.getElementById('error').textContent")
    page.complaints.clear()  # the browser notes each refused request
    for name, value in {"max_tokens": 12_000, "top_k": 1, "seed": 3}.items():
        page.value(f"void (document.getElementById('{name}').value = {value})")
    page.value("document.getElementById('go').click()")
    page.wait_until("document.querySelectorAll('.token').length > 20")
    page.value("document.getElementById('stop').click()")
    page.wait_until(IDLE)
    server.wait_until(lambda: server.metric("pedigree_slots_busy") == 0)
    assert page.value("document.getElementById('error').hidden")


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_screen_and_all_text_can_be_read(page, width, is_dark):
    page.show_as(width, 844, is_dark=is_dark)
    write(page, "The model reads " + "averylongwordwithoutanyspace" * 8)
    page.value("document.querySelector('details').open = true")
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(LEAST_CONTRAST) >= 4.5
    ask_application(page, "recommend")
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(LEAST_CONTRAST) >= 4.5


# The least contrast (WCAG 2.2, 1.4.3) of any text against the background that it stands on.
LEAST_CONTRAST = """
(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * (top[3] ?? 1) + below[i] * (1 - (top[3] ?? 1)));
  const ground = (e) => { const color = parse(getComputedStyle(e).backgroundColor);
    const below = e.parentElement ? ground(e.parentElement) : [255, 255, 255]; return over(color, below); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest("script, :disabled, .skip")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    least = Math.min(least, (a + .05) / (b + .05));
  }
  return least;
})()
"""


def test_every_control_has_a_name_and_the_tags_nest(page, server):
    Outline(server.client.get("/").content)
    choose_application(page, "classify")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "combobox", "radio", "spinbutton", "link", "dialog"}
    controls = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert len(controls) >= 8
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


def test_a_server_with_keys_asks_for_one(browser, versions, tmp_path):
    with running(versions, tmp_path / "log", keys=["right"]) as server:
        server.wait_ready()
        browser.open(server.url + "/")
        browser.wait_until("!document.getElementById('key-form').hidden")
        browser.value("document.getElementById('key').focus()")
        browser.type("right")
        browser.press("Enter", text="\r")
        browser.wait_until("document.getElementById('version').options.length === 5")
        write(browser, "The model")
        assert browser.value("document.getElementById('error').hidden")
        assert "right" not in server.log.replace("Copyright", "")
