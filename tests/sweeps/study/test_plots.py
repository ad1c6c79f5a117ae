"""The page of a study."""

import plotly.graph_objects as go

from sweeps.study.plots import render_page


def test_a_page_shows_its_words_as_text_and_brings_plotlys_script_once() -> None:
    figures = {"First & <last>": go.Figure(), "Second": go.Figure()}
    page = render_page("mine: 'a' | b", "best: <script>alert(1)</script>\n  next line", figures)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<h1>mine: &#39;a&#39; | b</h1>" in page
    assert "<pre>best: &lt;script&gt;alert(1)&lt;/script&gt;\n  next line</pre>" in page
    assert "<h2>First &amp; &lt;last&gt;</h2>" in page and "<h2>Second</h2>" in page
    assert page.count("Plotly.newPlot(") >= 2 and page.count("plotly.js v") == 1
    assert page.index("plotly.js v") < page.index("Plotly.newPlot(")
