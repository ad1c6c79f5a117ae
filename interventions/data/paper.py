"""The paper's data at full scale, from the Hugging Face hub or from local copies (see ``hub``).

For tuning ("validation") there are five more batches of edits, MMLU's and WikiText's validation
splits, and, as WMDP has test questions only, every second one of these. A setting that was tuned
so is judged by the other half of WMDP: the split "held_out", which is the test split in all else.
"""

from __future__ import annotations

import functools
from functools import cache
from importlib.metadata import version
from pathlib import Path

from interventions.data.base import Data, Lazy, Questions
from interventions.data.corpora import (
    TOPICS,
    awq_corpus,
    awq_texts,
    calibration_texts,
    forget_texts,
    perplexity_rows,
    retain_texts,
    statistics_texts,
)
from interventions.data.hub import Source, local_folder
from interventions.data.zsre import zsre_batch
from interventions.errors import InvalidInput
from interventions.options import WINDOWS, Split

BATCHES, BATCH = 10, 50  # the paper, section 3.1
TUNING_BATCHES = 5  # of edits, after those

# of 27 April 2024, after the questions were revised
_WMDP_REVISION = "7125571f22f032c56415e7980f48d877dd830ff8"
WMDP_BIO = Source("cais/wmdp", "wmdp-bio", "test", _WMDP_REVISION)
WMDP_CYBER = Source("cais/wmdp", "wmdp-cyber", "test", _WMDP_REVISION)
# one of 57 configs
MMLU = Source("cais/mmlu", "abstract_algebra", "test", "c30699e8356da336a370243923dbaf21066bb9fe")


def paper(edit_batch: int = 0, split: Split = "test", source: Path | None = None) -> Data:
    """Return the paper's data with one of its ten batches of 50 zsRE edits (sections 3.1 and C).

    The edits are the authors' where a local copy of zsRE's train file is there, see ``zsre``; AWQ
    is calibrated on the Pile where a local copy of its validation texts is there. ``sources`` says
    which was read.

    What every run is judged by is read, or its presence checked, at once. ``forget``, ``retain``,
    ``calibration`` and ``statistics`` are read when a step first uses them: their identity enters
    its key, before a model is loaded.

    Args:
        edit_batch: 0 to 9; 0 to 4 of "validation".
        split: "test", as in the paper; "validation", for tuning; "held_out", to judge what was
            tuned.
        source: folder of local copies; by default the one that COMPOSABILITY_DATA names.

    Raises:
        InvalidInput: there is no such batch, or a data set is neither local nor on the hub.
    """
    tuning = split == "validation"
    count, first = (TUNING_BATCHES, BATCHES) if tuning else (BATCHES, 0)
    with_split = " with split=validation" if tuning else ""
    if not 0 <= edit_batch < count:
        raise InvalidInput(
            f"edit_batch must be 0 to {count - 1} on the paper's data{with_split}, "
            f"but got {edit_batch}"
        )
    folder = local_folder(source)
    batch, edits_file = zsre_batch(
        folder, (first + edit_batch) * BATCH, BATCH, f"edit_batch={edit_batch}{with_split}"
    )
    return Data(
        name="paper",
        edits=tuple(edit for edit, _ in batch),
        locality=tuple(prompt for _, prompt in batch),
        questions=_questions(folder, split),
        forget=Lazy(functools.partial(forget_texts, folder)),
        retain=Lazy(functools.partial(retain_texts, folder, tuning)),
        calibration=Lazy(functools.partial(calibration_texts, folder, tuning)),
        statistics=Lazy(functools.partial(statistics_texts, folder)),
        test_text=("\n\n".join(perplexity_rows(folder, tuning)),),
        window=WINDOWS["paper"],
        forget_topics=TOPICS,
        calibration_of=(("awq", Lazy(functools.partial(awq_texts, folder, tuning))),),
        sources=(("edits", edits_file), ("awq.calibration", awq_corpus(folder).name)),
    )


@cache
def _questions(folder: Path | None, split: Split) -> Questions:
    """Return WMDP and MMLU as lm-eval's own tasks, once it is known that their data can be read.

    A local copy of MMLU may have any of its 57 subjects; ``mmlu`` is then the mean over their
    questions.
    """
    for source in (WMDP_BIO, WMDP_CYBER):
        _check_has_rows(source, folder)
    local_mmlu = MMLU.copy(folder)
    if local_mmlu is None:
        _check_has_rows(MMLU, folder)
    else:
        _check_has_subjects(local_mmlu, "validation" if split == "validation" else "test")
    names = ("mmlu", "wmdp_bio", "wmdp_cyber")
    places = {
        source.name: source.copy(folder) or source.revision
        for source in (WMDP_BIO, WMDP_CYBER, MMLU)
    }
    return Questions(
        tuple((name, name) for name in names),
        revision=f"lm-eval {version('lm_eval')}",
        split=split,
        sources=tuple(places.items()),
        halved=() if split == "test" else (WMDP_BIO.name,),
    )


def _check_has_rows(source: Source, folder: Path | None) -> None:
    if next(source.rows(folder), None) is None:
        raise InvalidInput(f"{source.name} ({source.files}) has no rows")


def _check_has_subjects(local_mmlu: Path, split: str) -> None:
    subjects = {path.parent.name for path in local_mmlu.glob(f"*/{split}*")} - {"all"}
    if not subjects:
        raise InvalidInput(
            f"cais/mmlu: tried {local_mmlu}, which has no <subject>/{split}*.parquet"
        )
