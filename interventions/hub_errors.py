"""What the Hugging Face hub says when it refuses something, as it is told on."""

from __future__ import annotations

import re

from interventions.errors import MOST_SAID, InvalidInput, printable_line

# "403 Client Error. (Request ID: Root=1-23;45-67)": of no use to who reads it
_REQUEST = re.compile(r"^\s*\d{3} (?:Client|Server) Error\.?\s*(?:\(Request ID:[^)]*\))?\s*\.?")


def hub_message(error: Exception) -> str:
    r"""Return the hub's whole message in one line, without the id of the request.

    Args:
        error: of the hub's library, or another.

    Example:
        >>> hub_message(OSError("403 Client Error. (Request ID: a)\n\nVisit the page\nto ask."))
        'Visit the page to ask.'
    """
    text = " ".join(_REQUEST.sub("", str(error)).split())
    return printable_line(text or type(error).__name__, 10 * MOST_SAID)


def with_hub_message(beginning: str, error: Exception, end: str = "") -> InvalidInput:
    """Return an error that tells on what the hub said; where the line is full, as a note of it.

    The command line prints notes below the line, as Python does below a traceback.

    Args:
        beginning: what cannot be read, and what to do.
        error: of the hub's library.
        end: what else to do, behind the hub's message.

    Example:
        >>> print(with_hub_message("cannot read 'a/b': ask for it", OSError("Visit b.co/a/b")))
        cannot read 'a/b': ask for it. The hub says: Visit b.co/a/b
    """
    message = hub_message(error)
    line = f"{beginning}. The hub says: {message}{end}"
    if len(line) <= MOST_SAID:
        return InvalidInput(line)
    refusal = InvalidInput(f"{beginning}{end}")
    refusal.add_note(f"The hub says: {message}")
    return refusal
