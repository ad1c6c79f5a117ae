"""Store what was measured on a checkpoint: scores of criteria, and other JSON values, by key.

A file says whose value it holds: the checkpoint's key, and the identity of what was measured. One
that was renamed or copied to the name of another is refused and measured again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from interventions.composition import digest
from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from interventions.files import read_plain, write_whole
from tracking.checkpoints.integrity import disk_is_full
from tracking.schema import json_number

_MOST_BYTES = 2**28  # of a file: a million items have 50 MB


class MeasuredValues:
    """A folder of JSON files, one per checkpoint key and identity of what was measured.

    An identity holds all that the value depends on besides the checkpoint: of a criterion its
    name, its version and the identity of the data that it reads.

    Args:
        folder: where they are; made when the first is stored.
        keeps: whether any are stored; if not, those that are there are used.
    """

    def __init__(self, folder: Path, keeps: bool = True) -> None:
        self.folder, self._keeps = folder, keeps

    def save_scores(self, key: str, identity: list[Any], scores: Scores, spent: Cost) -> None:
        """Store a criterion's scores for a checkpoint, and what measuring them cost."""
        value = {
            "value": json_number(scores.value),
            "stderr": json_number(scores.stderr),
            "items": {item: json_number(score) for item, score in scores.items.items()},
            "spent": {part: json_number(n) for part, n in dataclasses.asdict(spent).items()},
        }
        self.save(key, identity, value)

    def load_scores(self, key: str, identity: list[Any]) -> tuple[Scores, Cost] | None:
        """Return a criterion's scores and their cost; None if they were not stored."""
        value = self.load(key, identity)
        if value is None:
            return None
        try:
            items = {item: float(score) for item, score in value["items"].items()}
            scores = Scores(float(value["value"]), float(value["stderr"]), items)
            spent = {part: float(amount) for part, amount in value["spent"].items()}
            return scores, Cost(**spent)
        except (KeyError, TypeError, ValueError, AttributeError):
            _warn_of_damage(self._path(key, identity))
            return None

    def save(self, key: str, identity: list[Any], value: Any) -> None:
        """Store any JSON value; where it cannot be written go on without, with a warning."""
        if not self._keeps:
            return
        text = json.dumps({"key": key, "identity": identity, "value": value})
        try:
            write_whole(self._path(key, identity), f"{_checksum(text)}\n{text}")
        except OSError as error:
            reason = "no room" if disk_is_full(error) else f"{error.strerror or error}"
            warnings.warn(
                f"{reason} in {self.folder.parent} for a value: going on without it", stacklevel=2
            )

    def load(self, key: str, identity: list[Any]) -> Any:
        """Return a stored value; None if there is none, or, with a warning, if it is damaged."""
        path = self._path(key, identity)
        try:
            recorded, _, text = read_plain(path, _MOST_BYTES).decode().partition("\n")
            record = json.loads(text) if _checksum(text) == recorded else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            record = None
        if record is None:
            _warn_of_damage(path)
            return None
        if not isinstance(record, dict) or record.keys() != {"key", "identity", "value"}:
            # said once: a cache of before has thousands of them
            warnings.warn(
                "values of an older version do not say which checkpoint they are of:"
                " measured again",
                stacklevel=2,
            )
            return None
        if digest(record["key"], record["identity"]) != digest(key, identity):
            warnings.warn(
                f"the kept value {path.name} is that of another checkpoint or criterion:"
                " measured again",
                stacklevel=2,
            )
            return None
        return record["value"]

    def _path(self, key: str, identity: list[Any]) -> Path:
        return self.folder / f"{digest(key, identity)}.json"


def _warn_of_damage(path: Path) -> None:
    warnings.warn(f"the kept value {path.name} is damaged: measured again", stacklevel=3)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
