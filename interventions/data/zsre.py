"""zsRE: questions on facts with new answers, to edit, and unrelated ones, for locality.

The authors' code takes slices of 50 of ``zsre_mend_train.json``, shuffled as a whole with seed 100.
So does this, where <COMPOSABILITY_DATA> has that file, or has it in the folder ``zsre``, as the
authors' data have; of a slice, records that cannot be edited are left out. EasyEdit's
``zsre_mend_train_10000.json`` is another file, not read: a shuffle depends on how many there are.
Otherwise the usable records of ``zsre_mend_eval.json`` are shuffled, which is read from
<COMPOSABILITY_DATA> where it is there, else downloaded.

Source: Levy et al. 2017; the split of Mitchell et al. 2022 ("MEND"), as Meng et al. 2023 ("MEMIT")
publish it.
"""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from interventions.data.base import Edit, Prompt
from interventions.data.hub import unreadable
from interventions.errors import InvalidInput

TRAIN = "zsre_mend_train.json"
FILE = "zsre_mend_eval.json"
URL = "https://rome.baulab.info/data/dsets/zsre_mend_eval.json"
SEED = 100  # of the authors' shuffle
_LOCALITY_PREFIX = "nq question:"  # before every unrelated question; of Natural Questions


def zsre_batch(
    folder: Path | None, first: int, count: int, name: str
) -> tuple[tuple[tuple[Edit, Prompt], ...], str]:
    """Return edits, each with a locality prompt, and the name of the file that they are from.

    Args:
        folder: of local copies.
        first: the index of the batch's first record.
        count: of records; of the train file's, some may not be usable, and are left out.
        name: of the batch, for the error.

    Raises:
        InvalidInput: the file is neither local nor reachable, or cannot be read, or has no such
            records.
    """
    file = FILE if _train_file(folder) is None else TRAIN
    records = _shuffled(folder)
    batch = tuple(pair for pair in records[first : first + count] if pair is not None)
    if len(records) < first + count:
        kind = "usable records" if file == FILE else f"records in {TRAIN}"
        raise InvalidInput(
            f"zsRE has {len(records)} {kind}, too few for {name}, which needs {first + count}"
        )
    if not batch:
        raise InvalidInput(f"zsRE has no usable record for {name} in {TRAIN}")
    return batch, file


@cache
def _shuffled(folder: Path | None) -> tuple[tuple[Edit, Prompt] | None, ...]:
    """Return the records as the authors shuffle them; None is one that cannot be used."""
    train = _train_file(folder)
    pairs = [_edit_and_prompt(record) for record in _records(folder, train)]
    if train is None:
        pairs = [pair for pair in pairs if pair is not None]
    random.Random(SEED).shuffle(pairs)
    return tuple(pairs)


def _train_file(folder: Path | None) -> Path | None:
    places = (folder / TRAIN, folder / "zsre" / TRAIN) if folder else ()
    return next((place for place in places if place.exists()), None)


def _records(folder: Path | None, train: Path | None) -> list[dict[str, Any]]:
    eval_file = folder / FILE if folder and (folder / FILE).exists() else None
    local = train or eval_file
    try:
        if local is None:
            from datasets import DownloadManager

            records = json.loads(Path(DownloadManager().download(URL)).read_text())
        else:
            records = json.loads(local.read_text())
        return [dict(record) for record in records]
    # whatever the network's library, the file system and the JSON reader raise
    except Exception as error:
        raise unreadable(
            "zsRE", tried=local or URL, place=FILE, folder=folder, error=error
        ) from error


def _edit_and_prompt(record: dict[str, Any]) -> tuple[Edit, Prompt] | None:
    """Return a record's edit and locality prompt.

    None if a field is empty or the subject is not in the prompt.
    """
    subject, prompt, target, rephrasing, locality_prompt, locality_answer = (
        str(record.get(key) or "").strip()
        for key in ("subject", "src", "alt", "rephrase", "loc", "loc_ans")
    )
    original = str(next(iter(record.get("answers") or ()), ""))
    locality_prompt = locality_prompt.removeprefix(_LOCALITY_PREFIX).strip()
    fields = (subject, prompt, target, rephrasing, locality_prompt, locality_answer, original)
    if not all(fields) or subject not in prompt:
        return None
    edit = Edit(subject, prompt, target, original, (rephrasing,))
    return edit, Prompt(locality_prompt, locality_answer)
