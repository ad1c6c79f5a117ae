"""zsRE: questions on facts with new answers, to edit, and unrelated ones, for locality.

It is read from <COMPOSABILITY_DATA>/zsre_mend_eval.json where that exists, else downloaded.
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

FILE = "zsre_mend_eval.json"
URL = "https://rome.baulab.info/data/dsets/zsre_mend_eval.json"
SEED = 100  # of the authors' shuffle
_LOCALITY_PREFIX = "nq question:"  # before every unrelated question; of Natural Questions


@cache
def zsre(folder: Path | None) -> tuple[tuple[Edit, Prompt], ...]:
    """Return all usable records, shuffled as the authors do: each an edit and a locality prompt.

    Args:
        folder: of local copies.

    Raises:
        InvalidInput: the file is neither local nor reachable, or cannot be read.
    """
    pairs = [_edit_and_prompt(record) for record in _records(folder)]
    usable = [pair for pair in pairs if pair is not None]
    random.Random(SEED).shuffle(usable)
    return tuple(usable)


def _records(folder: Path | None) -> list[dict[str, Any]]:
    local = folder / FILE if folder and (folder / FILE).exists() else None
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
