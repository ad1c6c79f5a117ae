"""Figures as PNG: a few are drawn at once, many by a process beside this one.

The library that draws needs some 50 ms a panel, on one core. With models side by side there are
hundreds, so that they are drawn while this process computes on.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

from analysis.labels import Labels
from analysis.plots import figures
from analysis.plots.front_figure import draw_fronts
from analysis.plots.fronts import FrontGrid
from analysis.plots.heat import Heat
from analysis.plots.heat_figure import draw_heat
from analysis.plots.panels import PanelGrid

Drawable = PanelGrid | Heat | FrontGrid
_FEW = 40  # panels, drawn in about the time that it takes to start a process, twice
_LINES = 3  # of what a process said before it failed


def draw_all(drawables: Sequence[Drawable], titles: Labels, folder: Path) -> None:
    """Write each figure into a folder, as PNG under its name."""
    for drawable in drawables:
        if isinstance(drawable, PanelGrid):
            figure = figures.draw(drawable, titles)
        elif isinstance(drawable, Heat):
            figure = draw_heat(drawable, titles)
        else:
            figure = draw_fronts(drawable, titles)
        figures.save_figure(figure, folder / f"{drawable.name}.png")


@contextmanager
def drawn_meanwhile(drawables: Sequence[Drawable], titles: Labels, folder: Path) -> Iterator[None]:
    """Draw figures while a block computes on; all are there when it ends.

    A few are drawn before the block begins, as are all in a frozen program, which cannot start
    Python. Where the block raises, drawing ends; where this process is killed, it ends after the
    figure at hand. The folder is there from the beginning.

    Args:
        drawables: what is drawn.
        titles: of methods and criteria.
        folder: where the PNG go; it is made if it is missing.

    Raises:
        RuntimeError: the process that draws failed, with its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)  # for what the block writes there
    has_python = bool(sys.executable) and not getattr(sys, "frozen", False)
    if not has_python or sum(map(_count_panels, drawables)) <= _FEW:
        draw_all(drawables, titles, folder)
        yield
        return
    with tempfile.TemporaryFile() as job, tempfile.TemporaryFile() as said:
        pickle.dump((drawables, titles, folder.absolute(), os.getpid(), _style()), job)
        job.seek(0)
        paths = [path or str(Path.cwd()) for path in sys.path if isinstance(path, str)]
        process = subprocess.Popen(
            # without the working folder, which may have a package of the same name
            [sys.executable, "-P", "-m", __name__],
            stdin=job,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        try:
            yield
            if process.wait():
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                ended = f"the process that draws figures ended with {process.returncode}"
                raise RuntimeError("\n".join([ended, *lines[-_LINES:]]))
        finally:
            process.kill()
            process.wait()


def _count_panels(drawable: Drawable) -> int:
    if isinstance(drawable, PanelGrid):
        return len(drawable.panels)
    return len(drawable.criteria if isinstance(drawable, Heat) else drawable.fronts)


def _style() -> Any:
    """Return how this process draws; the backend is not asked for, which would choose one."""
    return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}


def _draw_for(
    drawables: Sequence[Drawable], titles: Labels, folder: Path, parent: int, style: Any
) -> None:
    """Draw as long as the process that wants the figures is there: it may be killed."""
    mpl.rcParams.update(style)
    for drawable in drawables:
        if os.getppid() != parent:
            sys.exit("the process that wants the figures is not there")
        draw_all([drawable], titles, folder)


if __name__ == "__main__":
    _draw_for(*pickle.load(sys.stdin.buffer))
