"""The demo in headless Chromium: every tab with real clicks, drawings, errors in the page, a phone."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from space_app import served, small_tasks

from archbert_space.limits import Limits

PATIENCE = 120_000
"""Milliseconds that the page may take for one answer on a busy machine."""
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SMALL_BERT = json.dumps({"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
                         "intermediate_size": 64, "vocab_size": 500})  # fmt: skip
HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page."""
    with served(small_tasks(tmp_path_factory.mktemp("space"), Limits(seconds=300))) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "There is no Chromium; install it (apt-get install chromium), or name it in $CHROMIUM."
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a window of a desktop; it must not log an error."""
    yield from opened(browser, address, DESKTOP)


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Page]:
    """The page on a phone."""
    yield from opened(browser, address, PHONE, touch=True)


def opened(browser: Browser, address: str, size: dict, touch: bool = False) -> Iterator[Page]:
    context = browser.new_context(viewport=size, has_touch=touch, is_mobile=touch)
    context.set_default_timeout(PATIENCE)
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(address, timeout=PATIENCE)
    expect(found.locator("#first-status .ab-read")).to_contain_text("ResNetModel", timeout=PATIENCE)
    yield found
    assert errors == [] and found.title() == "ArchBERT"
    context.close()


def open_tab(page: Page, name: str) -> None:
    """Click on a tab, or on its name in the menu of those that have no room."""
    tab = page.get_by_role("tab", name=name, exact=True).first
    if not tab.is_visible():
        page.locator(".overflow-menu > button").first.click()
        tab = page.locator(".overflow-dropdown button", has_text=re.compile(rf"^\s*{name}\s*$")).first
    tab.click()


def write(page: Page, field: str, text: str) -> None:
    page.locator(f"#{field} textarea, #{field} input").first.fill(text)


def card(page: Page, name: str) -> Locator:
    """The answer of a tab, once it is there."""
    found = page.locator(f"#{name}-card .ab-card")
    expect(found).to_be_visible(timeout=PATIENCE)
    return found


def drawing(page: Page) -> Locator:
    """The drawing of the open tab, once it is there."""
    found = page.locator(".ab-stage > svg:visible").first
    expect(found).to_be_visible(timeout=PATIENCE)
    return found


def choose(page: Page, side: str, kind: str) -> None:
    page.locator(f"#{side}-kind label", has_text=kind).click()


def paste(page: Page, side: str, config: str) -> None:
    """Paste a config, and leave the field."""
    choose(page, side, "Config")
    field = page.locator(f"#{side}-config textarea")
    field.fill(config)
    field.blur()


def transform(svg: Locator) -> str:
    return svg.evaluate("drawing => drawing.style.transform")


def test_reasoning_marks_the_evidence(page: Page) -> None:
    page.get_by_text("It uses batch normalization.", exact=True).first.click()
    expect(page.locator("#statement textarea, #statement input").first).to_have_value("It uses batch normalization.")
    page.locator("#statement-button").click()
    answer = card(page, "judgement")
    expect(answer).to_contain_text("Correct")
    expect(answer.locator(".ab-basis")).to_have_text("computed")
    assert drawing(page).locator("g.evidence").count() > 0


def test_drawings_are_moved_zoomed_opened_and_fill_the_screen(page: Page) -> None:
    write(page, "statement", "It has more Conv2d than Linear layers.")
    page.keyboard.press("Enter")
    expect(card(page, "judgement").locator(".ab-basis")).to_have_text("predicted")
    svg = drawing(page)
    expect(svg).to_have_attribute("style", re.compile("scale"))
    states = [transform(svg)]
    for action in ("in", "out", "fit"):
        page.locator(f'[data-zoom="{action}"]:visible').first.click()
        states.append(transform(svg))
    assert states[1] != states[0] and states[3] == states[0]
    box = page.locator(".ab-stage:visible").first.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 150, steps=4)
    page.mouse.up()
    assert transform(svg) != states[3]
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.locator('[data-zoom="full"]:visible').first.click()
    expect(page.locator(".ab-view.ab-full")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".ab-view.ab-full")).to_have_count(0)
    boxes = svg.locator("g.box").count()
    level = page.locator(".ab-detail:visible input[type=number]").first
    level.fill("1")
    level.press("Enter")
    page.locator(".ab-detail:visible input[type=range]").first.press("ArrowRight")
    expect(page.locator(".ab-stage:visible > svg").first.locator("g.box")).not_to_have_count(boxes, timeout=PATIENCE)


def test_clones_with_and_without_a_text(page: Page) -> None:
    open_tab(page, "Clones")
    expect(page.locator("#second-kind")).to_be_visible()
    page.locator("#clones-button").click()
    expect(card(page, "clones")).to_contain_text(re.compile("Similar|Dissimilar"))
    expect(page.locator(".ab-stage > svg:visible")).to_have_count(2, timeout=PATIENCE)
    open_tab(page, "Clones with a text")
    paste(page, "second", SMALL_BERT)
    write(page, "respect", "It uses batch normalization.")
    page.locator("#respect-button").click()
    answer = card(page, "bimodal")
    expect(answer).to_contain_text("Dissimilar")
    expect(answer).to_contain_text("wrong about BertModel")


def test_questions_about_a_pasted_config(page: Page) -> None:
    open_tab(page, "Questions")
    expect(page.locator("#second-kind")).to_be_hidden()
    paste(page, "first", SMALL_BERT)
    expect(page.locator("#first-status")).to_contain_text("BertModel", timeout=PATIENCE)
    write(page, "question", "How many layers are there?")
    page.locator("#question-button").click()
    answer = card(page, "answer")
    expect(answer.locator(".ab-headline")).to_have_text("3")
    drawing(page)
    write(page, "question", "Wie viele Schichten hat das Netz?")
    page.locator("#question-button").click()
    expect(card(page, "answer")).to_contain_text("English", timeout=PATIENCE)


def test_a_caption_of_an_uploaded_file(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(SMALL_BERT)
    open_tab(page, "Caption")
    choose(page, "first", "File")
    page.locator("#first-file input[type=file]").set_input_files(str(file))
    expect(page.locator("#first-status")).to_contain_text("BertModel", timeout=PATIENCE)
    page.locator("#caption-button").click()
    answer = card(page, "caption")
    expect(answer).to_contain_text("encoder-only transformer")
    expect(answer.locator("table")).to_contain_text("attention heads")
    drawing(page)


def test_search_draws_what_is_chosen(page: Page) -> None:
    open_tab(page, "Search")
    write(page, "query", "a convolutional classifier of images")
    page.locator("#query-button").click()
    expect(card(page, "hits").locator("li")).to_have_count(2)
    drawing(page)
    write(page, "where", "parameters>1T")
    page.locator("#query-button").click()
    expect(card(page, "hits")).to_contain_text("Nothing fits", timeout=PATIENCE)
    page.locator("#search-by label", has_text="network").click()
    write(page, "where", "")
    page.locator("#query-button").click()
    expect(page.locator("#hits-card li").first).to_contain_text("ResNetModel", timeout=PATIENCE)


def test_diff_lists_and_draws_the_changes(page: Page) -> None:
    open_tab(page, "Diff")
    page.locator("#diff-button").click()
    expect(card(page, "changes")).to_contain_text("GELU instead of ReLU")
    expect(drawing(page).locator("g.added").first).to_be_attached()


def test_errors_are_told_in_the_page(page: Page, tmp_path: Path) -> None:
    open_tab(page, "Caption")
    for config, said in (('{"model_type": "brt"}', "Did you mean 'bert'"), ('{"a": }', "no JSON: Expecting value"),
                         (json.dumps({"model_type": HOSTILE}), "is unknown")):  # fmt: skip
        paste(page, "first", config)
        expect(page.locator("#first-status .ab-unread")).to_contain_text(said, timeout=PATIENCE)
        page.locator("#caption-button").click()
        expect(card(page, "caption")).to_contain_text(said, timeout=PATIENCE)
    choose(page, "first", "File")
    unsafe = tmp_path / "model.pt"
    unsafe.write_bytes(pickle.dumps({}))
    page.locator("#first-file input[type=file]").set_input_files(str(unsafe))
    expect(page.locator("#first-status .ab-unread")).to_contain_text("could run any code", timeout=PATIENCE)


def test_a_large_file_is_refused_in_the_page(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:
        file.truncate(2 * 2**30)
    choose(page, "first", "File")
    page.locator("#first-file input[type=file]").set_input_files(str(large))
    told = page.locator(".ab-too-large")
    expect(told).to_contain_text("large.gguf has 2,048 MiB; 100 MiB are allowed", timeout=PATIENCE)
    small = tmp_path / "config.json"
    small.write_text(SMALL_BERT)
    page.locator("#first-file input[type=file]").set_input_files(str(small))
    expect(page.locator("#first-status")).to_contain_text("BertModel", timeout=PATIENCE)
    expect(told).to_have_count(0)


def test_every_tab_fits_on_a_phone(phone: Page) -> None:
    for name in ("Questions", "Clones", "Search", "Diff", "Reasoning"):
        open_tab(phone, name)
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"] + 1, name
    write(phone, "statement", "It uses batch normalization.")
    phone.locator("#statement-button").click()
    expect(card(phone, "judgement")).to_contain_text("Correct")
    box = drawing(phone).locator("xpath=..").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
