"""Data sets of the Hugging Face hub, or their local copies in the hub's layout.

With COMPOSABILITY_DATA=<folder>, a data set is read from
<folder>/<owner>/<name>/<config>/<split>*.parquet (or .json, .jsonl, .json.gz) where
<folder>/<owner>/<name> exists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import is_offline_mode

from interventions.errors import MOST_SAID, InvalidInput
from interventions.hub_errors import hub_message

VARIABLE = "COMPOSABILITY_DATA"
HUB = "the Hugging Face hub"
# characters; shorter texts are no documents (Li et al. 2024, their code's ``min_len``)
SHORTEST = 50
CONTEXT = 10_000  # characters, over 2048 tokens of English: no method uses more of a text


@dataclass(frozen=True)
class Source:
    """One split of a data set on the hub, and of its local copy.

    Attributes:
        name: owner/name.
        config: its name, which is a folder in the hub's layout; "" if there is none ("data" in
            that layout).
        split: "train", "test".
        revision: the commit on the hub.
        file: of the config's folder, if not the whole split.
        large: read in pieces from the hub, as many as are needed, and not stored; otherwise
            downloaded once.
        hint: what else to do if it cannot be read.
    """

    name: str
    config: str
    split: str
    revision: str
    file: str = ""
    large: bool = False
    hint: str = ""

    @property
    def files(self) -> str:
        """Return where the split lies in the hub's layout."""
        return f"{self.config or 'data'}/{self.file or f'{self.split}*'}"

    def copy(self, folder: Path | None) -> Path | None:
        """Return the local copy, if there is one."""
        return folder / self.name if folder and (folder / self.name).is_dir() else None

    def rows(self, folder: Path | None) -> Iterator[dict[str, Any]]:
        """Yield the split's rows in order, reading no more of them than are used.

        Args:
            folder: of local copies.

        Raises:
            InvalidInput: the split cannot be read; one line names the data set and what was tried.
        """
        from datasets import load_dataset

        local = self.copy(folder)
        options: dict[str, Any] = {"split": self.split, "streaming": bool(local) or self.large}
        if local or self.file:
            options["data_files"] = {self.split: self.files}
        try:
            if local:
                yield from load_dataset(str(local), **options)
            else:
                config = None if self.file else self.config or None
                yield from load_dataset(self.name, config, revision=self.revision, **options)
        # whatever the hub's, the network's and the file formats' libraries raise
        except Exception as error:
            raise unreadable(
                f"{self.name} ({self.files})",
                tried=local or HUB,
                place=self.name,
                folder=folder,
                error=error,
                hint=self.hint,
            ) from error

    def texts(
        self, folder: Path | None, longer_than: int = SHORTEST, context: int = CONTEXT
    ) -> Iterator[str]:
        """Yield the column ``text`` of the rows.

        Args:
            folder: of local copies.
            longer_than: characters; rows whose text is not longer are left out.
            context: characters that longer texts are cut to.

        Raises:
            InvalidInput: the split cannot be read, or has no such column.
        """
        for row in self.rows(folder):
            if "text" not in row:
                raise InvalidInput(
                    f"{self.name} ({self.files}) has no column 'text', only {', '.join(row)}"
                )
            if len(row["text"] or "") > longer_than:
                yield row["text"][:context]


def local_folder(source: Path | None) -> Path | None:
    """Return the folder of local copies, if there is one.

    Args:
        source: it; by default the one that COMPOSABILITY_DATA names.

    Raises:
        InvalidInput: it is no folder.
    """
    location = source or os.environ.get(VARIABLE)
    if not location:
        return None
    folder = Path(location).expanduser().resolve()
    if not folder.is_dir():
        raise InvalidInput(
            f"{VARIABLE} must name a folder of local data sets, but {str(location)!r} is none"
        )
    return folder


def unreadable(
    data_set: str,
    *,
    tried: Path | str,
    place: str,
    folder: Path | None,
    error: Exception,
    hint: str = "",
) -> InvalidInput:
    """Return the error that says in one line what cannot be read, why, and what to do.

    Args:
        data_set: how the message calls it.
        tried: the local copy or the address that was read.
        place: where a local copy lies in the folder.
        folder: of local copies.
        error: what reading raised.
        hint: what else to do.
    """
    reason = hub_message(error).rstrip(".")
    if tried == HUB and is_offline_mode():
        reason = "HF_HUB_OFFLINE is set"
    if folder is None:
        copies = f"{VARIABLE} is not set (a copy in the hub's layout goes to ${VARIABLE}/{place})"
    elif isinstance(tried, Path):
        copies = f"{VARIABLE} is {folder}"
    else:
        copies = f"{VARIABLE} is {folder}, which has no {place}"
    # a long path may have the end of the line cut: what to do comes before it
    advice = f". {hint}" if hint else ""
    line = f"cannot read {data_set}: tried {tried}: {reason}{advice}; {copies}"
    if len(line) <= MOST_SAID or reason == "HF_HUB_OFFLINE is set":
        return InvalidInput(line)
    # what to do is in the line, and the whole reason below it
    first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    refusal = InvalidInput(f"cannot read {data_set}: tried {tried}: {first}{advice}; {copies}")
    refusal.add_note(reason)
    return refusal
