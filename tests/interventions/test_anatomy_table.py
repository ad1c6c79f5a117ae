"""Every cell of the documented table of models is what its check says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.anatomies.table import CHECKS, table
from tests.anatomies.zoo import ANATOMIES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"
ROW = re.compile(r"^\| `([\w-]+)` \| (.+) \|$", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    return {name: cells.split(" | ") for name, cells in ROW.findall(PAGE.read_text())}


def test_the_page_has_every_anatomy_and_no_cell_but_right_and_refused() -> None:
    rows = documented()
    assert list(rows) == list(ANATOMIES)
    assert {len(cells) for cells in rows.values()} == {len(CHECKS)}
    verdicts = [cell for cells in rows.values() for cell in cells]
    assert set(verdicts) == {"right", "refused"}
    assert verdicts.count("right") >= 240


@pytest.mark.slow
@pytest.mark.parametrize("name", ANATOMIES)
def test_a_row_of_the_table_is_what_its_checks_say(name: str, tmp_path: Path) -> None:
    cells = table(name, tmp_path)
    documented_cells = dict(zip(CHECKS, documented()[name], strict=True))
    notes = {method: f"{cell.verdict}: {cell.note}" for method, cell in cells.items()}
    assert {method: cells[method].verdict for method in CHECKS} == documented_cells, notes
    # the facts that the interventions and criteria lean on
    assert {cell.verdict for cell in cells.values()} <= {"right", "refused"}, notes
