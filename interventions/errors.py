"""The error for what a user gave, and the checks that raise it everywhere in the same words."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

from interventions.masking import without_secrets

MOST_SHOWN = 200  # characters of a user's input that a message repeats
MOST_SAID = 390  # characters of a whole message; with "error: " before it, under 400
MOST_NAME = 200  # bytes of a name: less than a file's name or a column of MLflow's tables holds

LONGEST_PATH = 4095  # bytes that Linux takes

# more of a text than is shown, so that a password at the cut is known as one
_MOST_READ = 2 * MOST_SAID


class InvalidInput(ValueError):
    """Say in one line what was given that is wrong, and what is valid.

    Raised before any weight is loaded; the command line prints the line and ends with status 2.

    Example:
        >>> from interventions.composition import Composition
        >>> Composition.parse("wnda")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: no intervention is named 'wnda'. ...
    """

    def __init__(self, message: object = "") -> None:
        """Keep the message as one printable line of at most 390 characters."""
        super().__init__(printable_line(str(message)))


def printable_line(text: str, most: int = MOST_SAID) -> str:
    r"""Return a text as one printable line, cut at ``most`` characters.

    Line ends become blanks; control characters and lone surrogates are escaped.

    Example:
        >>> printable_line("first\nsecond \x1b[31m")
        'first second \\x1b[31m'
        >>> printable_line("abcdef", most=4)
        'abc…'
    """
    # what is cut away is not looked at: the text may be a whole file
    start = " ".join(without_secrets(text[: 2 * most]).splitlines())
    line = "".join(map(_printable, start))
    return line if len(line) <= most and len(text) <= 2 * most else line[: most - 1] + "…"


def shown(value: object, most: int = MOST_SHOWN) -> str:
    r"""Return what a message repeats of a value: its ``repr``, printable and cut.

    Nothing is computed for it that could be large, and it never raises.

    Args:
        value: whatever was given.
        most: the greatest number of characters.

    Example:
        >>> shown("two\nlines")
        "'two\\nlines'"
        >>> shown("a" * 1000, most=10)
        "'aaaaaaaa…"
        >>> shown(10**5000)
        'an integer of about 5001 digits'
    """
    writer = _Writer()
    writer.maxstring = most
    try:
        return printable_line(writer.repr(value), most)
    except Exception:  # the object is the user's: its methods may do anything
        return printable_line(f"an object of type {type(value).__name__}", most)


class _Writer(reprlib.Repr):
    """Write values without ever writing a large one out in full."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 20
        self.fillvalue = "…"

    def repr1(self, x: Any, level: int) -> str:
        # by the builtin type, so that subclasses are written as safely
        if isinstance(x, str):
            # before it is cut: half an address does not show where its password ends
            return repr(without_secrets(x[:_MOST_READ])[: self.maxstring])
        if isinstance(x, bytes | bytearray):
            return repr(x[:_MOST_READ])
        if isinstance(x, int) and not isinstance(x, bool):
            digits = int(x.bit_length() * math.log10(2)) + 1
            return repr(x) if digits <= 100 else f"an integer of about {digits} digits"
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return f"{type(x).__name__} of shape {tuple(x.shape)}"
        return super().repr1(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x)


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Return ``value`` if it is an integer within the bounds.

    Raises:
        InvalidInput: it is not an integer, or below ``low`` or above ``high``.

    Example:
        >>> whole_number("seed", -1, 0, 9)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: seed must be an integer from 0 to 9, but got -1
    """
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise InvalidInput(f"{name} must be an integer from {low} to {high}, but got {shown(value)}")


def plain_text(name: str, value: object, most: int = MOST_NAME) -> str:
    r"""Return ``value`` if it can name something: one printable line that is not blank.

    Args:
        name: what the user calls it.
        value: what was given.
        most: the greatest number of bytes; one for a letter of English.

    Raises:
        InvalidInput: not a string, blank, too long, with blanks at an end or an unprintable
            character.

    Example:
        >>> plain_text("experiment", "first try")
        'first try'
        >>> plain_text("experiment", "a\nb")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: experiment must be one line of 1 to 200 ... got 'a\nb'
    """
    if isinstance(value, str) and _is_clean(value) and 0 < len(value.encode()) <= most:
        return value
    length = f"{len(value)} characters, " if isinstance(value, str) and len(value) > 50 else ""
    raise InvalidInput(
        f"{name} must be one line of 1 to {most} printable characters without blanks at its ends,"
        f" but got {length}{shown(value, 100)}"
    )


def one_of(name: str, value: object, valid: Sequence[str]) -> str:
    """Return ``value`` if it is valid.

    Args:
        name: what the user calls it, such as "device".
        value: what was given.
        valid: every value that may be given.

    Raises:
        InvalidInput: it is none of them; the line names the nearest and all.

    Example:
        >>> one_of("device", "cpu", ("auto", "cpu", "cuda"))
        'cpu'
        >>> one_of("device", "gpu", ("auto", "cpu", "cuda"))
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: device must be auto or cpu or cuda, but got 'gpu'
    """
    if not isinstance(value, str) or value not in valid:
        raise InvalidInput(f"{name} must be {' or '.join(valid)}, but got {shown(value)}")
    return value


def did_you_mean(name: object, known: Iterable[str], most: int = 1, cutoff: float = 0.5) -> str:
    """Return a sentence that proposes the nearest known names; "" if none is near.

    The sentence begins with a space, so that it can be put after another one.

    Args:
        name: what was given.
        known: every valid name.
        most: how many names to propose.
        cutoff: how near a name must be, from 0 (any) to 1 (equal).

    Example:
        >>> did_you_mean("wnda", ["awq", "wanda"])
        " Did you mean 'wanda'?"
        >>> did_you_mean("zzz", ["awq", "wanda"])
        ''
    """
    if not isinstance(name, str) or len(name) > MOST_SHOWN:  # comparing takes quadratic time
        return ""
    nearest = difflib.get_close_matches(name, known, n=most, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _is_clean(text: str) -> bool:
    return text.isprintable() and text == text.strip()
