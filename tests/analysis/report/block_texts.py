"""The texts of a table of the report, for tests of what stands in it."""

from typing import Any

from analysis.tables.table import Block


def rows_of(block: Block | None) -> dict[str, list[str]]:
    """Return the cells of each row by its label; no cell is marked as the best."""
    assert block is not None
    assert not block.best.to_numpy().any() and block.best.shape == block.values.shape
    return {str(label): list(cells) for label, *cells in block.values.itertuples()}


def linked_runs(block: Block | None) -> list[list[Any]]:
    """Return what each cell links to, row by row; None where it links to nothing."""
    assert block is not None
    assert list(block.runs.index) == list(block.values.index)
    assert list(block.runs.columns) == list(block.values.columns)
    return [
        [runs if isinstance(runs, tuple) else None for runs in row] for row in block.runs.to_numpy()
    ]
