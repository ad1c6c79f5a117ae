"""Write tables as Markdown, CSV and LaTeX; what stands in them is in `composed` and `appendix`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis import labels
from tracking.markup import LATEX_SYMBOLS, plain, plain_cells, plain_latex, plain_markdown

WINS = "# Wins"


@dataclass(frozen=True)
class Block:
    """Numbers, with what belongs to each; frames of one shape.

    Attributes:
        values: the numbers.
        best: whether a number is the best of its group.
        runs: ids of the runs that a number came from.
        intervals: of the numbers as text, ``0.32 to 0.48``, empty where there is none; None where
            no number has one.
    """

    values: pd.DataFrame
    best: pd.DataFrame
    runs: pd.DataFrame
    intervals: pd.DataFrame | None = None

    def interval(self, row: int, column: int) -> str:
        """Return the interval of a number by its position; empty where there is none."""
        if self.intervals is None:
            return ""
        text = self.intervals.iloc[row, column]
        return text if isinstance(text, str) else ""


@dataclass(frozen=True)
class Table:
    """One table of the paper, for one context.

    Attributes:
        number: the paper's.
        caption: one line, without the number.
        context: the settings that all of its runs have, in words.
        blocks: parts with columns of their own.
    """

    number: int
    caption: str
    context: str
    blocks: list[Block] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the blocks below each other: the best numbers bold, intervals behind them."""
        blocks = []
        for block in self.blocks:
            text = _as_text(block, "**{}**").rename(index=plain_markdown)
            text.columns = [
                "<br>".join(map(plain_markdown, filter(None, column))) for column in text.columns
            ]
            blocks.append(text.to_markdown(stralign="right", disable_numparse=True))
        return f"**Table {self.number}.** {plain_markdown(self.caption)}\n\n" + "\n\n".join(blocks)

    def csv(self) -> str:
        """Return one row per method, with the blocks beside each other and all digits."""
        wide = pd.concat([block.values for block in self.blocks], axis=1)
        wide.columns = [" | ".join(filter(None, column)) for column in wide.columns]
        return plain_cells(wide).to_csv(index_label="composition")

    def latex(self) -> str:
        """Return one tabular per block, for the package booktabs."""
        tabulars = []
        for block in self.blocks:
            text = _as_text(block, r"\textbf{{{}}}")
            text = text.rename(index=plain_latex, columns=plain_latex).map(_with_symbols)
            columns = "l" + "r" * block.values.shape[1]
            tabulars.append(text.to_latex(multicolumn_format="c", column_format=columns))
        # the caption is a comment: a second line of it would be none
        return f"% Table {self.number}. {plain(self.caption)}\n" + "\n".join(tabulars)


def save_tables(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write each table as .md, .csv and .tex, and return the paths.

    Args:
        tables: with several contexts, the file's name says which.
        folder: is made if it is not there.
    """
    tables, paths = list(tables), []
    suffixes = labels.suffixes(table.context for table in tables)
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        stem = f"table{table.number}{suffixes[table.context]}"
        texts = {"md": table.markdown() + "\n", "csv": table.csv(), "tex": table.latex()}
        for extension, text in texts.items():
            path = folder / f"{stem}.{extension}"
            path.write_text(text)
            paths.append(path)
    return paths


def _as_text(block: Block, bold: str) -> pd.DataFrame:
    """Return numbers with two decimals, as the paper prints them; wins are integers."""
    columns = []
    for index, column in enumerate(block.values.columns):
        digits = 0 if column[0] == WINS else 2
        texts = [labels.number(value, digits) for value in block.values.iloc[:, index]]
        is_best = block.best.iloc[:, index]
        column_texts = []
        for position, (text, best) in enumerate(zip(texts, is_best, strict=True)):
            interval = block.interval(position, index)
            number = bold.format(text) if best else text
            column_texts.append(f"{number} ({interval})" if interval else number)
        columns.append(column_texts)
    rows = list(zip(*columns, strict=True))
    return pd.DataFrame(rows, index=block.values.index, columns=block.values.columns)


def _with_symbols(number: str) -> str:
    """Return a number in bold or not, with LaTeX's words for the symbols that it lacks."""
    for character, symbol in LATEX_SYMBOLS.items():
        number = number.replace(character, symbol)
    return number
