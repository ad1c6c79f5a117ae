"""Read one part of a description: its rows, its file, or a data set of the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from interventions.data.hub import Source, local_folder
from interventions.data.own.files import MOST_ROWS, TEXTS, Row, find_file, read_rows
from interventions.data.own.rows import Reading
from interventions.errors import InvalidInput, shown
from interventions.files import file_digest


@dataclass(frozen=True)
class DataPart:
    """One part as a description has it, in one form.

    Attributes:
        name: of the part, such as "edits" or "questions.trivia".
        source: of the schema's form ``source``: exactly one of rows, file and hub, and what is said
            of it.
        folder: of the description; file names are relative to it.
    """

    name: str
    source: Mapping[str, Any]
    folder: Path

    @classmethod
    def read(cls, name: str, written: Any, folder: Path) -> DataPart:
        """Return a part from any of the forms in which it may be written."""
        if isinstance(written, str):
            return cls(name, {"file": written}, folder)
        if isinstance(written, Sequence):
            return cls(name, {"rows": written}, folder)
        _check_used(name, written)
        return cls(name, written, folder)

    @property
    def is_on_hub(self) -> bool:
        """Whether it is a data set of the hub, or a local copy of one."""
        return "hub" in self.source

    @property
    def reading(self) -> Reading:
        """How its rows are read."""
        file = self.source.get("file") or self.source.get("hub")
        place = f"{self.name} ({shown(Path(file).name, 60)[1:-1]})" if file else self.name
        return Reading(
            place=place,
            mapping=self.source.get("fields", {}),
            placeholder=self.source.get("placeholder", ""),
            is_inline="rows" in self.source,
            first_counts=self.source.get("repeats") == "first",
        )

    def rows(self) -> list[Row]:
        """Return its rows, each with where it is; at least one.

        Raises:
            InvalidInput: they cannot be read, or there are none.
        """
        rows = self._all_rows()
        first = int(self.source.get("first", 0))
        if not rows:
            raise InvalidInput(
                f"{self.reading.place} has no rows; leave the part out where there is nothing"
            )
        return rows[:first] if first else rows

    def _all_rows(self) -> list[Row]:
        place = self.reading.place
        if "rows" in self.source:
            return [(f"row {number}", row) for number, row in enumerate(self.source["rows"], 1)]
        if "file" in self.source:
            path = find_file(self.source["file"], self.folder, place)
            return read_rows(path, self.source.get("texts", TEXTS[0]), place)
        most = int(self.source.get("first", MOST_ROWS))
        source = self._hub_source()
        rows = list(islice(source.rows(local_folder(None)), most + 1))
        if len(rows) > MOST_ROWS:
            raise InvalidInput(f"{place}: there are more than {MOST_ROWS} rows; say first")
        return [(f"row {number}", row) for number, row in enumerate(rows[:most], 1)]

    def _hub_source(self) -> Source:
        name, _, revision = self.source["hub"].partition("@")
        return Source(
            name,
            self.source.get("config", ""),
            self.source.get("split", "train"),
            revision,
            large="first" in self.source,
        )

    def hub_identity(self) -> list[Any]:
        """Return what tells the data set's content without reading it: the commit, or a copy's."""
        source = self._hub_source()
        copy = source.copy(local_folder(None))
        content = self.source["hub"]
        if copy is not None:
            # below the copy only: it may itself lie in a hidden folder, such as ~/.cache
            files = [
                path
                for path in copy.rglob("*")
                if path.is_file() and not _is_hidden(path.relative_to(copy))
            ]
            content = file_digest(files)
        said = {
            key: value for key, value in self.source.items() if key not in ("hub", "validation")
        }
        return [content, source.config, source.split, said]


def _check_used(name: str, source: Mapping[str, Any]) -> None:
    """Raise InvalidInput if something is said that would change nothing."""
    is_of_edits = name.split(".")[0] == "edits"
    is_text = Path(str(source.get("file", ""))).suffix.lower() == ".txt"
    of_validation = not source.keys() & {"rows", "file", "hub"}
    uses = {
        "config": ("hub" in source, "a data set of the hub"),
        "split": ("hub" in source, "a data set of the hub"),
        "placeholder": (is_of_edits, "edits"),
        "repeats": (is_of_edits, "edits"),
        "texts": (is_text, "a text file"),
    }
    for key, (is_used, what) in uses.items():
        if key in source and not is_used and not of_validation:
            raise InvalidInput(f"{name}: {key} says something of {what}, and changes nothing here")


def _is_hidden(path: Path) -> bool:
    return any(name.startswith(".") for name in path.parts)
