"""Names as both plotting libraries show them letter by letter, without reading markup in them."""

from __future__ import annotations

import html

MOST_OF_CAPTION = 300  # characters
_MOST = 60  # characters of a name in a picture; a longer one would leave no room for the rest


def matplotlib_text(text: str, most: int = _MOST) -> str:
    r"""Return a text, cut if it is long, that matplotlib does not read as mathematics.

    Example:
        >>> print(matplotlib_text("$x$"))
        \$x\$
    """
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    literal = short.replace("$", r"\$")
    # a legend leaves out entries that begin with an underscore
    return f" {literal}" if literal.startswith("_") else literal


def plotly_text(text: str) -> str:
    """Return a text that plotly does not read as HTML, nor as a field of a hover text.

    Example:
        >>> plotly_text("<b>%{x}")
        '&lt;b&gt;% {x}'
    """
    return html.escape(text.replace("%{", "% {"), quote=False)
