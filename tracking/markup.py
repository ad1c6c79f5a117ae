r"""Write names that others chose into Markdown, LaTeX and CSV, so that they stay plain text.

Interventions, criteria, experiments and runs may come from anybody: their names may hold markup, a
spreadsheet's formula, a terminal's codes.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import pandas as pd

from interventions.errors import InvalidInput, printable_line, shown

_ANY_LENGTH = 100_000  # characters; more than any name or note has
# what makes a spreadsheet compute a cell; some take the wide ones of Chinese and Japanese, too
_FORMULA = tuple("=+-@＝＋－＠")
# the symbols of tables that LaTeX does not know
LATEX_SYMBOLS = {
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "∞": r"$\infty$",
    "–": "--",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **LATEX_SYMBOLS,
}
_LATEX_TABLE = str.maketrans(_LATEX)
_MARKDOWN_SPECIAL = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_MARKDOWN_START = re.compile(r"^(?=[#>+=-])")
_MARKDOWN_NUMBER = re.compile(r"^(\d+)(?=[.)](?:\s|$))")  # of a list; 0.5 begins none
_HTML_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_HTML_ENTITY = re.compile(r"&(?=#?\w+;)")


@functools.lru_cache(maxsize=4096)  # a report repeats few names often
def plain(text: str) -> str:
    r"""Return a text as one line without control characters and passwords.

    Example:
        >>> plain("two\nlines \x1b[31m")
        'two lines \\x1b[31m'
    """
    return printable_line(text, _ANY_LENGTH)


def plain_markdown(text: str) -> str:
    r"""Return a text that Markdown shows as it is, in a line or in a table's cell.

    Example:
        >>> print(plain_markdown("edit_success | <b>[a](javascript:b)"))
        edit_success \| &lt;b>\[a\](javascript:b)
    """
    text = _MARKDOWN_SPECIAL.sub(r"\\\1", plain(text))
    text = _HTML_ENTITY.sub("&amp;", text)
    text = _HTML_TAG.sub("&lt;", text)
    return _MARKDOWN_NUMBER.sub(r"\1\\", _MARKDOWN_START.sub(r"\\", text))


def plain_latex(text: str) -> str:
    r"""Return a text that LaTeX prints as it is.

    Example:
        >>> print(plain_latex(r"\input{x} 50 %"))
        \textbackslash{}input\{x\} 50 \%
    """
    return plain(text).translate(_LATEX_TABLE)


def plain_cell(value: Any) -> Any:
    """Return a value that a spreadsheet shows and does not compute; numbers stay as they are.

    Example:
        >>> plain_cell("=1+1"), plain_cell("-0.5"), plain_cell(-0.5), plain_cell("wanda")
        ("'=1+1", '-0.5', -0.5, 'wanda')
    """
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def plain_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame, as it goes into a CSV file, with plain texts in cells, columns and index."""
    if not len(frame.columns):
        return frame
    cells = frame.copy()
    for position, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            values = frame.iloc[:, position].tolist()
            # most texts are in a column many times
            texts = {value for value in values if isinstance(value, str)}
            plain_of = {text: plain_cell(text) for text in texts}
            plain_values = [plain_of[v] if isinstance(v, str) else v for v in values]
            cells.isetitem(position, plain_values)
    return cells.rename(columns=plain_cell, index=plain_cell)


def web_address(name: str, text: str) -> str:
    """Return an address that a page may link to.

    Args:
        name: what the user calls it.
        text: the address.

    Raises:
        InvalidInput: it is not one of http or https.

    Example:
        >>> web_address("ui", "http://127.0.0.1:5000")
        'http://127.0.0.1:5000'
    """
    if not re.fullmatch(r"https?://[^\s<>\"'`\\]+", text) or not text.isprintable():
        raise InvalidInput(
            f"{name} must be an address http://… or https://…, but got {shown(text)}"
        )
    return text


def file_stem(text: str) -> str:
    """Return a text as a part of a file's name: letters, digits and dashes.

    Example:
        >>> file_stem("../../F1 score")
        'F1-score'
    """
    words = re.sub(r"[^\w]+", " ", text).split()
    return "-".join(words)[:60] or "unnamed"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
