"""The report of some runs, for tests of what stands in it."""

import json
import re
from typing import Any

import pandas as pd

from analysis.report.collect import collect, grids_of
from analysis.report.content import content
from analysis.report.page import render
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest


def page(runs: pd.DataFrame, **request: Any) -> str:
    """Return the report's HTML."""
    prepared = check_against_runs(AnalysisRequest(("made up",), **request), runs)
    collected = collect(prepared, None, grids_of(prepared))
    return render(content(prepared, collected))


def run_ids(html: str) -> list[str]:
    """Return the run ids that the page's script numbers."""
    numbered = re.search(r"const RUNS = (\[.*?\]), UI", html)
    assert numbered is not None
    return [run_id for run_id, _ in json.loads(numbered[1])]


def addresses(html: str) -> list[tuple[str, ...]]:
    """Return the runs that each number links to, as the page's script resolves them."""
    ids = run_ids(html)
    links = re.findall(r'data-r="([\d ]+)"', html)
    return [tuple(ids[int(number)] for number in link.split()) for link in links]


def section(html: str, name: str, end: str) -> str:
    """Return the page from one section to another."""
    return html[html.index(f'<section id="{name}"') : html.index(f'<section id="{end}"')]
