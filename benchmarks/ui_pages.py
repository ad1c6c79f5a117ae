"""Show both orders of a pair in MLflow's UI, and take pictures of its pages: docs/images/ui-*.png.

``python -m benchmarks.ui_pages`` runs the pair on the testbed in a minute or two, and needs a
Chromium; Playwright is installed into an environment of its own, once, from the net.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import server

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images"
ORDERS = ("magnitude(sparsity=0.5) | rtn(bits=4)", "rtn(bits=4) | magnitude(sparsity=0.5)")
_PICTURED = ("lora | wanda(sparsity=0.25)", "wanda(sparsity=0.25) | lora")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WIDTH, _HEIGHT = 1440, 1000  # pixels
_LEFT_COLUMN = 938  # pixels: what stands beside it on a run's page names user and machine


@dataclass(frozen=True)
class UiPage:
    """A page to visit.

    Attributes:
        name: of its picture.
        address: its address.
        texts: that it shows once it is complete.
        height: of the window, in pixels; charts outside of it are not drawn.
        width: of the picture, from the left, in pixels.
    """

    name: str
    address: str
    texts: Sequence[str] = ()
    height: int = _HEIGHT
    width: int = _WIDTH


def browser() -> str:
    """Return the path of a Chromium, which CHROMIUM may name; "" if there is none."""
    paths = (shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), *_BROWSERS) if name)
    return next(filter(None, paths), "")


def visit(pages: Sequence[UiPage], folder: Path) -> dict[str, Mapping[str, Any]]:
    """Visit pages; return what they show by name, and write ``<name>.png`` into a folder.

    Args:
        pages: to visit, one after another.
        folder: is made if it is missing.

    Returns:
        By the page's name: ``text`` of the page, ``drawn`` texts of its figures, and its ``charts``
        with their title, the numbers on their bars and their legend.
    """
    from tests.peers import environment

    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "browser": browser(),
        "folder": str(folder),
        "pages": [asdict(page) for page in pages],
    }
    command = [str(environment("browser")), str(ROOT / "benchmarks" / "ui_visit.py")]
    subprocess.run(command, input=json.dumps(wanted), text=True, check=True, timeout=1800)
    return {
        page.name: json.loads((folder / f"{page.name}.json").read_text(encoding="utf-8"))
        for page in pages
    }


def run_orders(orders: Sequence[str] = ORDERS, **settings: Any) -> list[str]:
    """Run both orders of a pair in the store that MLFLOW_TRACKING_URI names; return the runs' ids.

    Args:
        orders: the compositions.
        settings: of ``tracking.run.run``.
    """
    from tracking.run import run

    return [run(order, **settings) for order in orders]


def comparing_pages(ui: str, run_ids: Sequence[str]) -> list[UiPage]:
    """Return the pages on which both orders of a pair are compared.

    Args:
        ui: the UI's address.
        run_ids: of both orders.
    """
    from mlflow import MlflowClient

    from analysis.comparison import compare_runs
    from composability.commands.compare import with_saved_views
    from tracking import links, store

    experiment_id = MlflowClient(store.uri()).get_run(run_ids[0]).info.experiment_id
    comparison = with_saved_views(compare_runs(run_ids[0], run_ids[1], ui), ui)
    charts = next(iter(comparison.links.values()))
    names = [MlflowClient(store.uri()).get_run(run_id).info.run_name for run_id in run_ids]
    models = links.models_link(ui, experiment_id)
    table = links.runs_link(ui, experiment_id, view=store.VIEW)
    return [
        UiPage("ui-runs", table, [*names, "edit_success"]),
        UiPage(
            "ui-run",
            links.run_link(ui, experiment_id, run_ids[0]),
            ["Metrics (", "mmlu"],
            width=_LEFT_COLUMN,
        ),
        UiPage("ui-models", models, [name[:20] for name in names]),
        UiPage("ui-charts", charts, ["After the last step", "edit_success"]),
        UiPage("all-charts", charts, ["After the last step", "average_bits"], height=3200),
    ]


def main() -> None:
    """Take the pictures of the page on comparing in the UI."""
    if not browser():
        raise SystemExit("no Chromium on PATH; CHROMIUM may name one")
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "server") as ui:
        os.environ["MLFLOW_TRACKING_URI"] = ui
        pages = comparing_pages(ui, run_orders(_PICTURED))[:-1]
        visit(pages, Path(folder) / "pictures")
        for page in pages:
            shutil.copy(Path(folder) / "pictures" / f"{page.name}.png", PICTURES)
            print(f"{PICTURES.relative_to(ROOT)}/{page.name}.png")


if __name__ == "__main__":
    main()
