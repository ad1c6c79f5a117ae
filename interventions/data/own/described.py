"""The file that describes data of somebody's own; no data are read here, nor libraries for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interventions.data.own.schema import check_description
from interventions.data.own.yaml_file import read_yaml
from interventions.errors import LONGEST_PATH, InvalidInput, plain_text, shown

DEFAULTS = "paper"  # whose defaults hyperparameters have, where the description does not say
_MOST_NAME = 100  # characters


def defaults_of(data: Any) -> str:
    """Return whose defaults hyperparameters have on data of somebody's own.

    Args:
        data: a data set, or the path of a file, of which only the description is read.

    Raises:
        InvalidInput: the file cannot be read, or is not as the schema says.
    """
    if not isinstance(data, str):
        return str(data.defaults)
    file, name = described_file(data)
    description = read_yaml(file)
    check_description(description, name)
    return str(description.get("defaults", DEFAULTS))


def described_file(path: str | Path) -> tuple[Path, str]:
    """Return the file of a path, without links, and what the data are called for it.

    Raises:
        InvalidInput: there is none.
    """
    text = plain_text("data", str(path), LONGEST_PATH)
    try:
        file = Path(text).expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it is a loop of links"
        raise InvalidInput(f"data {shown(text, 150)} cannot be read: {reason}") from error
    if not file.is_file():
        raise InvalidInput(f"data {shown(text, 150)} is no file")
    # the name is that which the user wrote: a link's target may be called by a hash
    letters = (x if x.isascii() and (x.isalnum() or x in "._-") else "-" for x in Path(text).stem)
    return file, "".join(letters).lstrip("._-")[:_MOST_NAME] or "ours"
