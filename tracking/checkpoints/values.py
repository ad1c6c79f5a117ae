"""Store what was measured on a checkpoint: scores of criteria, and other JSON values, by key."""

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
from interventions.files import write_whole
from tracking.checkpoints.integrity import disk_is_full
from tracking.schema import json_number


class MeasuredValues:
    """A folder of JSON files, one per checkpoint key and identity of what was measured.

    An identity holds all that the value depends on besides the checkpoint: of a criterion its
    name, its version and the identity of the data that it reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save_scores(self, key: str, identity: list[Any], scores: Scores, spent: Cost) -> None:
        """Store a criterion's scores for a checkpoint, and what measuring them cost."""
        value = {
            "value": json_number(scores.value),
            "stderr": json_number(scores.stderr),
            "items": {item: json_number(score) for item, score in scores.items.items()},
            "spent": dataclasses.asdict(spent),
        }
        self.save(key, identity, value)

    def load_scores(self, key: str, identity: list[Any]) -> tuple[Scores, Cost] | None:
        """Return a criterion's scores and their cost; None if they were not stored."""
        value = self.load(key, identity)
        if value is None:
            return None
        items = {item: float(score) for item, score in value["items"].items()}
        scores = Scores(float(value["value"]), float(value["stderr"]), items)
        return scores, Cost(**value["spent"])

    def save(self, key: str, identity: list[Any], value: Any) -> None:
        """Store any JSON value; on a full disk go on without, with a warning."""
        text = json.dumps(value)
        try:
            write_whole(self._path(key, identity), f"{_checksum(text)}\n{text}")
        except OSError as error:
            if not disk_is_full(error):
                raise
            warnings.warn(
                f"no room in {self.folder.parent} for a value: going on without it", stacklevel=2
            )

    def load(self, key: str, identity: list[Any]) -> Any:
        """Return a stored value; None if there is none, or, with a warning, if it is damaged."""
        path = self._path(key, identity)
        try:
            recorded, _, text = path.read_text().partition("\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            recorded, text = "", ""
        if _checksum(text) == recorded:
            return json.loads(text)
        warnings.warn(f"the kept value {path.name} is damaged: measured again", stacklevel=2)
        return None

    def _path(self, key: str, identity: list[Any]) -> Path:
        return self.folder / f"{digest(key, identity)}.json"


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
