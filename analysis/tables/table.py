"""Tables as Markdown, CSV and LaTeX; what stands in them is in `layouts`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis import labels

WINS = "# Wins"


@dataclass(frozen=True)
class Block:
    """Numbers with what belongs to each: whether it is the best of its group, and the runs that it came from."""

    values: pd.DataFrame
    best: pd.DataFrame
    runs: pd.DataFrame


@dataclass(frozen=True)
class Table:
    """One table of the paper, for one context."""

    number: int
    caption: str
    context: str
    blocks: list[Block] = field(default_factory=list)

    def markdown(self) -> str:
        """Blocks below each other, best numbers bold."""
        blocks = []
        for block in self.blocks:
            text = _written(block, "**{}**")
            text.columns = ["<br>".join(filter(None, column)) for column in text.columns]
            blocks.append(text.to_markdown(stralign="right", disable_numparse=True))
        return f"**Table {self.number}.** {self.caption}\n\n" + "\n\n".join(blocks)

    def csv(self) -> str:
        """One row per method, blocks beside each other, all digits."""
        wide = pd.concat([block.values for block in self.blocks], axis=1)
        wide.columns = [" | ".join(filter(None, column)) for column in wide.columns]
        return wide.to_csv(index_label="composition")

    def latex(self) -> str:
        """One tabular per block, for the package booktabs."""
        caption = f"% Table {self.number}. {self.caption}\n"
        return caption + "\n".join(
            _written(block, r"\textbf{{{}}}")
            .rename(index=_tex, columns=_tex)
            .map(_tex_number)
            .to_latex(multicolumn_format="c", column_format="l" + "r" * block.values.shape[1])
            for block in self.blocks
        )


def save(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write each as .md, .csv and .tex; with several contexts the file's name says which."""
    tables, made = list(tables), []
    suffixes = labels.suffixes(table.context for table in tables)
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        stem = f"table{table.number}{suffixes[table.context]}"
        for suffix, text in (
            ("md", table.markdown()),
            ("csv", table.csv()),
            ("tex", table.latex()),
        ):
            path = folder / f"{stem}.{suffix}"
            path.write_text(text + "\n" if suffix == "md" else text)
            made.append(path)
    return made


def _written(block: Block, bold: str) -> pd.DataFrame:
    """Numbers as text, to two decimals as the paper prints them, the best ones bold; wins as integers."""
    columns = []
    for i, column in enumerate(block.values.columns):
        whole = column[0] == WINS
        cells = [labels.number(v, 0 if whole else 2) for v in block.values.iloc[:, i]]
        best = block.best.iloc[:, i]
        columns.append([bold.format(c) if b else c for c, b in zip(cells, best, strict=True)])
    return pd.DataFrame(
        list(zip(*columns, strict=True)), index=block.values.index, columns=block.values.columns
    )


_TEX = {
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "∞": r"$\infty$",
    "–": "--",
}


def _tex(text: str) -> str:
    """Escaped, with symbols that LaTeX knows."""
    for char in "&%$#_{}":
        text = text.replace(char, f"\\{char}")
    return _tex_number(text)


def _tex_number(text: str) -> str:
    for char, symbol in _TEX.items():
        text = text.replace(char, symbol)
    return text
