"""Names that others chose stay plain text in Markdown, LaTeX and CSV."""

import pandas as pd
import pytest

from interventions.errors import InvalidInput
from tracking.markup import (
    file_stem,
    plain_cell,
    plain_cells,
    plain_latex,
    plain_markdown,
    web_address,
)


@pytest.mark.parametrize(
    ("name", "markdown"),
    [
        ("[click](javascript:alert(1))", r"\[click\](javascript:alert(1))"),
        ("a | b", r"a \| b"),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y>"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("# title\n- item", r"\# title - item"),
        ("1. first", r"1\. first"),
        ("0.5 to 0.9", "0.5 to 0.9"),
        ("__init__ `code` *x*", r"\_\_init\_\_ \`code\` \*x\*"),
        ("\x1b[31mred", r"\\x1b\[31mred"),
        ("edit_success < 0.5 & more", "edit_success < 0.5 & more"),
        ("lora → wanda(sparsity=0.25)", "lora → wanda(sparsity=0.25)"),
    ],
)
def test_markdown_shows_a_name_as_it_is(name: str, markdown: str) -> None:
    assert plain_markdown(name) == markdown


def test_latex_prints_a_name_as_it_is() -> None:
    assert plain_latex("\\input{/etc/passwd}\n% $x_1$ ~^&#") == (
        r"\textbackslash{}input\{/etc/passwd\} \% \$x\_1\$ "
        r"\textasciitilde{}\textasciicircum{}\&\#"
    )
    assert plain_latex("FT → Wanda") == r"FT $\rightarrow$ Wanda"


def test_a_spreadsheet_computes_no_cell() -> None:
    frame = pd.DataFrame(
        {"=1+1": ["=cmd|'/c calc'!A0", "@SUM(A1)", "+1-2"], "value": [-0.5, 1.0, 2.0]},
        index=["-2+3", " =x", "-3"],
    )
    assert plain_cell("＝1+1") == "'＝1+1"
    cells = plain_cells(frame)
    assert list(cells) == ["'=1+1", "value"] and list(cells.index) == ["'-2+3", "' =x", "-3"]
    assert list(cells["'=1+1"]) == ["'=cmd|'/c calc'!A0", "'@SUM(A1)", "'+1-2"]
    assert list(cells["value"]) == [-0.5, 1.0, 2.0]
    assert list(frame) == ["=1+1", "value"]


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc",
        "//host",
        "",
        "http://a b",
        "http://h/\0",
        "http://h/\u202e",
    ],
)
def test_a_page_links_to_the_web_only(address: str) -> None:
    with pytest.raises(InvalidInput, match="ui must be an address"):
        web_address("ui", address)


def test_a_files_name_stays_in_its_folder() -> None:
    assert file_stem("../../etc/passwd\0") == "etc-passwd"
    assert file_stem("perplexity") == "perplexity"
    assert file_stem("///") == "unnamed"
