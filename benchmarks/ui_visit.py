"""Open pages in a browser and write what they show; runs in an environment that has Playwright.

Reads from stdin: ``{"browser": path, "folder": path, "pages": [...]}``, each page with ``name``,
``address``, ``texts`` that it shows once it is complete, the window's ``height``, and the picture's
``width``. Writes into the folder, for each page, a picture and a JSON file of its texts.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_WIDTH = 1440  # pixels
_SECONDS = 180  # that a page may take to show its texts, and a picture to be taken
# MLflow opens its assistant over a quarter of the first page that a browser sees
_CLOSED_ASSISTANT = """
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""
# a chart's title is HTML, its numbers are texts of an SVG
_TEXTS = """
() => ({
  text: document.body.innerText,
  drawn: [...document.querySelectorAll("svg text")].map(text => text.textContent),
  charts: [...document.querySelectorAll('[data-testid="experiment-view-compare-runs-card"]')].map(
    card => ({
      title: card.innerText.trim().split("\\n")[0],
      bars: [...card.querySelectorAll("svg .bartext")].map(text => text.textContent),
      legend: card.innerText.trim().split("\\n").slice(1),
    })
  ),
})
"""
_SHOWS = "texts => texts.every(text => document.body.textContent.includes(text))"


def visit(
    page: Page, folder: Path, name: str, address: str, texts: list[str], height: int, width: int
) -> None:
    """Open a page, wait until it shows some texts, and write what it shows."""
    page.set_viewport_size({"width": _WIDTH, "height": height})
    page.goto(address, timeout=1000 * _SECONDS)
    try:
        page.wait_for_function(_SHOWS, arg=texts, timeout=1000 * _SECONDS)
    except Exception:
        print(f"{name}: not all of {texts} came within {_SECONDS} s", file=sys.stderr)
    page.wait_for_timeout(2000)  # charts move to their places
    part = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=folder / f"{name}.png", clip=part, timeout=1000 * _SECONDS)
    (folder / f"{name}.json").write_text(json.dumps(page.evaluate(_TEXTS)))


def main() -> None:
    """Visit the pages that stdin names."""
    wanted = json.load(sys.stdin)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=wanted["browser"], args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context()
        context.add_init_script(_CLOSED_ASSISTANT)
        # nothing is fetched from the net
        context.route(
            lambda address: not address.startswith("http://127.0.0.1"), lambda route: route.abort()
        )
        for entry in wanted["pages"]:
            page = context.new_page()
            visit(page, Path(wanted["folder"]), **entry)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
