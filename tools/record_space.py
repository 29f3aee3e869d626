"""Screenshots and short recordings of the demo page, for docs/demo.md: `python tools/record_space.py`.

Starts examples/space on a free port, uses it in headless Chromium as a reader would, and writes pictures (desktop,
phone, dark) and a clip of each task, as animated WebP, into docs/images.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
DESKTOP, PHONE = (1280, 800), (390, 844)
PATIENCE = 180_000
CLIP_WIDTH, CLIP_QUALITY, CLIP_SECONDS = 800, 45, (0.9, 2.6)
"""Pixels and quality of a clip, and how long its frames, and the last one, are shown."""
PNG_COLOURS = 96


class Scene(NamedTuple):
    """One task: its tab, the field and what is written into it, the button, and the card of its answer."""

    name: str
    tab: str
    field: str
    text: str
    button: str
    card: str


SCENES = (
    Scene("reasoning", "Reasoning", "statement", "It uses batch normalization.", "statement-button", "judgement"),
    Scene("clones", "Clones", "", "", "clones-button", "clones"),
    Scene("bimodal", "Clones with a text", "respect", "It uses batch normalization.", "respect-button", "bimodal"),
    Scene("questions", "Questions", "question", "Which pooling layers are used?", "question-button", "answer"),
    Scene("caption", "Caption", "", "", "caption-button", "caption"),
    Scene("search", "Search", "query", "a convolutional classifier of images", "query-button", "hits"),
    Scene("diff", "Diff", "", "", "diff-button", "changes"),
)
STILLS = ("questions", "diff")


def play(page: Page, scene: Scene, look: Callable[[], None]) -> None:
    """Does what a reader would, and calls `look` after each step."""
    tab = page.get_by_role("tab", name=scene.tab, exact=True).first
    if not tab.is_visible():
        page.locator(".overflow-menu > button").first.click()
        tab = page.locator(".overflow-dropdown button", has_text=scene.tab).first
    tab.click()
    page.wait_for_timeout(1500)
    look()
    if scene.field:
        field = page.locator(f"#{scene.field} textarea, #{scene.field} input").first
        middle = scene.text.rfind(" ", 0, len(scene.text) * 2 // 3)
        for text in (scene.text[:middle], scene.text):
            field.fill(text)
            page.wait_for_timeout(200)
            look()
    page.locator(f"#{scene.button}").click()
    page.wait_for_selector(f"#{scene.card}-card .ab-card", timeout=PATIENCE)
    page.wait_for_selector(".ab-stage > svg:visible", timeout=PATIENCE)
    page.wait_for_timeout(2500)
    look()
    page.locator(".ab-view:visible").first.evaluate("view => view.scrollIntoView({block: 'end'})")
    page.wait_for_timeout(600)
    look()


def opened(browser: Browser, address: str, size: tuple[int, int], dark: bool = False) -> Page:
    """The page in a new window."""
    colours: Any = "dark" if dark else "light"
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=colours)
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#first-status .ab-read", timeout=PATIENCE)
    page.wait_for_timeout(1000)
    return page


def save_png(shot: bytes, path: Path, width: int) -> None:
    """A screenshot with few colours, so that it stays small."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    height = round(image.height * width / image.width)
    small = image.resize((width, height), Image.Resampling.LANCZOS) if width < image.width else image
    small.quantize(PNG_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def save_clip(shots: list[bytes], path: Path) -> None:
    """Screenshots one after the other."""
    images = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    size = (CLIP_WIDTH, round(images[0].height * CLIP_WIDTH / images[0].width))
    small = [image.resize(size, Image.Resampling.LANCZOS) for image in images]
    times = [round(1000 * CLIP_SECONDS[0])] * (len(small) - 1) + [round(1000 * CLIP_SECONDS[1])]
    small[0].save(path, save_all=True, append_images=small[1:], duration=times, loop=0, quality=CLIP_QUALITY, method=6)


def record(browser: Browser, address: str, folder: Path) -> None:
    """All pictures and clips."""
    for scene in SCENES:
        page = opened(browser, address, DESKTOP)
        shots: list[bytes] = []

        def look(taken: list[bytes] = shots, seen: Page = page) -> None:
            taken.append(seen.screenshot())

        play(page, scene, look)
        save_clip(shots, folder / f"space_{scene.name}.webp")
        if scene.name in STILLS:
            save_png(shots[-2], folder / f"space_{scene.name}.png", DESKTOP[0])
        page.close()
    page = opened(browser, address, PHONE)
    play(page, SCENES[0], lambda: None)
    page.evaluate("window.scrollTo(0, 0)")
    save_png(page.screenshot(full_page=True), folder / "space_phone.png", PHONE[0])
    page.close()
    page = opened(browser, address, DESKTOP, dark=True)
    play(page, SCENES[0], lambda: None)
    page.evaluate("window.scrollTo(0, 0)")
    save_png(page.screenshot(), folder / "space_dark.png", DESKTOP[0])
    page.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Record the demo page.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--address", help="of a page that is served already")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "examples" / "space" / "app.py"), "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = None if options.address else subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while server is not None and server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        with sync_playwright() as playwright:
            found = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            record(browser, options.address or f"http://127.0.0.1:{port}/", options.output)
            browser.close()
    finally:
        if server is not None:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
