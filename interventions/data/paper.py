"""The paper's data at full scale, from the Hugging Face hub or from local copies in the hub's layout.

For tuning ("validation") there are five more batches of edits, MMLU's and WikiText's validation splits, and, as WMDP
has test questions only, every second one of these; a setting that was tuned so is judged by the other half
("held_out", which is else as "test").

With COMPOSABILITY_DATA=<folder>, a data set is read from <folder>/<owner>/<name>/<config>/<split>*.parquet (or .json,
.jsonl, .json.gz) where <folder>/<owner>/<name> exists, and zsRE from <folder>/zsre_mend_eval.json.
"""

from __future__ import annotations

import functools
import json
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

from interventions.data.base import Data, Edit, Lazy, Prompt, Questions
from interventions.errors import InvalidInput
from interventions.options import Split

VARIABLE = "COMPOSABILITY_DATA"
BATCHES, BATCH = 10, 50  # the paper, section 3.1
TUNING_BATCHES = 5  # of edits, after those
SEED = 100  # of the authors' shuffle of zsRE
WINDOW = 8192  # tokens, Llama 3's context: at 2048 its perplexity is 6.1, and the paper's base model has 5.54
SHORTEST = (
    50  # characters: what is not longer is no document (Li et al. 2024, their code's ``min_len``)
)
FORGET = (
    1000  # texts per domain: 2000 in all are the most that the paper's grids use (Tables 6 and 7)
)
CALIBRATION = 256  # texts: twice the paper's 128
STATISTICS = 100_000  # texts, as the paper's MEMIT (section C)
CONTEXT = 10_000  # characters, over 2048 tokens of English: no method uses more of a text
CONTEXT_STATISTICS = (
    4_000  # characters, over the 512 tokens that MEMIT uses of a text; 0.4 GB for all of them
)

ZSRE, ZSRE_URL = "zsre_mend_eval.json", "https://rome.baulab.info/data/dsets/zsre_mend_eval.json"
_NATURAL_QUESTION = "nq question:"


@dataclass(frozen=True)
class Source:
    """One split of a data set on the hub, and of its local copy.

    Attributes:
        name: owner/name.
        config: its name, which is a folder in the hub's layout; "" if there is none ("data" in that layout).
        split: "train", "test".
        revision: the commit on the hub.
        file: of the config's folder, if not the whole split.
        large: read in pieces from the hub, as many as are needed, and not kept; otherwise downloaded once.
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
        """Where the split lies in the hub's layout."""
        return f"{self.config or 'data'}/{self.file or f'{self.split}*'}"

    def copy(self, folder: Path | None) -> Path | None:
        """The local copy, if there is one."""
        return folder / self.name if folder and (folder / self.name).is_dir() else None

    def rows(self, folder: Path | None) -> Iterator[dict[str, Any]]:
        """The split's rows, in order, read as they are asked for.

        Raises:
            InvalidInput: one line that names the data set and what was tried.
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
        except (
            Exception
        ) as error:  # whatever the hub's, the network's and the file formats' libraries raise
            what, hub = f"{self.name} ({self.files})", "the Hugging Face hub"
            raise _unreadable(what, local, hub, self.name, folder, error, self.hint) from error

    def texts(
        self, folder: Path | None, longer_than: int = SHORTEST, context: int = CONTEXT
    ) -> Iterator[str]:
        """The column ``text`` of the rows that are longer than so many characters, cut to ``context`` characters."""
        for row in self.rows(folder):
            if "text" not in row:
                raise InvalidInput(
                    f"{self.name} ({self.files}) has no column 'text', only {', '.join(row)}"
                )
            if len(row["text"] or "") > longer_than:
                yield row["text"][:context]


_ON_REQUEST = "Access is on request: ask at https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus, then `hf auth login`"
_WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1")
_WIKITEXT_REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
_WMDP_REVISION = (
    "7125571f22f032c56415e7980f48d877dd830ff8"  # of 27 April 2024, after the questions were revised
)
WIKITEXT_TRAIN = Source(*_WIKITEXT, "train", _WIKITEXT_REVISION)
WIKITEXT_TEST = Source(*_WIKITEXT, "test", _WIKITEXT_REVISION)
WIKITEXT_VALIDATION = Source(*_WIKITEXT, "validation", _WIKITEXT_REVISION)
FORGET_BIO = Source(
    "cais/wmdp-bio-forget-corpus",
    "",
    "train",
    "5a786ed1041e56fef2d4ed26c1239f12b73a68eb",
    large=True,
    hint=_ON_REQUEST,
)
FORGET_CYBER = Source(
    "cais/wmdp-corpora", "cyber-forget-corpus", "train", "daf89fa9b618b63a624228061a9cebacca88009c"
)
C4 = Source(
    "allenai/c4",
    "en",
    "train",
    "607bd4c8450a42878aa9ddc051a65a055450ef87",
    file="c4-train.00000-of-01024.json.gz",
    large=True,
)
WIKIPEDIA = Source(
    "wikimedia/wikipedia",
    "20231101.en",
    "train",
    "b04c8d1ceb2f5cd4588862100d08de323dccfbaa",
    large=True,
)
WMDP_BIO = Source("cais/wmdp", "wmdp-bio", "test", _WMDP_REVISION)
WMDP_CYBER = Source("cais/wmdp", "wmdp-cyber", "test", _WMDP_REVISION)
MMLU = Source(
    "cais/mmlu", "abstract_algebra", "test", "c30699e8356da336a370243923dbaf21066bb9fe"
)  # one of 57 configs


def paper(edit_batch: int = 0, split: Split = "test", source: Path | None = None) -> Data:
    """The paper's data with one of its ten batches of 50 zsRE edits (sections 3.1 and C).

    What every run is judged by is read, or its presence checked, here; ``forget``, ``retain``, ``calibration`` and
    ``statistics`` are read when a step first uses them (their identity enters its key, before a model is loaded).

    Args:
        edit_batch: 0 to 9; 0 to 4 of "validation".
        split: "test", as in the paper; "validation", for tuning; "held_out": see above.
        source: folder of local copies; by default the one that COMPOSABILITY_DATA names, if it does.

    Raises:
        InvalidInput: there is no such batch, or a data set is neither local nor to be had from the hub.
    """
    tuning = split == "validation"
    count, first = (TUNING_BATCHES, BATCHES) if tuning else (BATCHES, 0)
    where = " with split=validation" if tuning else ""
    if not 0 <= edit_batch < count:
        raise InvalidInput(
            f"edit_batch must be 0 to {count - 1} on the paper's data{where}, but got {edit_batch}"
        )
    folder = _folder(source)
    records = _zsre(folder)
    batch = records[(first + edit_batch) * BATCH : (first + edit_batch + 1) * BATCH]
    if len(batch) < BATCH:
        raise InvalidInput(
            f"zsRE has {len(records)} usable records, too few for edit_batch={edit_batch}{where}, which needs"
            f" {(first + edit_batch + 1) * BATCH}"
        )
    return Data(
        name="paper",
        edits=tuple(edit for edit, _ in batch),
        locality=tuple(prompt for _, prompt in batch),
        questions=_questions(folder, split),
        forget=Lazy(functools.partial(_forget, folder)),
        retain=Lazy(functools.partial(_retain, folder, tuning)),
        calibration=Lazy(functools.partial(_calibration, folder, tuning)),
        statistics=Lazy(functools.partial(_statistics, folder)),
        test_text=("\n\n".join(_test_rows(folder, tuning)),),
        window=WINDOW,
    )


def _folder(source: Path | None) -> Path | None:
    given = source or os.environ.get(VARIABLE)
    if not given:
        return None
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise InvalidInput(
            f"{VARIABLE} must name a folder of local data sets, but {str(given)!r} is none"
        )
    return folder


@cache
def _zsre(folder: Path | None) -> tuple[tuple[Edit, Prompt], ...]:
    """All usable records, shuffled as the authors do: each an edit and an unrelated prompt."""
    usable = [pair for record in _zsre_records(folder) if (pair := _record(record))]
    random.Random(SEED).shuffle(usable)
    return tuple(usable)


def _zsre_records(folder: Path | None) -> list[dict[str, Any]]:
    """The MEND split of zsRE as MEMIT's authors publish it (Mitchell et al. 2022; Meng et al. 2023)."""
    local = folder / ZSRE if folder and (folder / ZSRE).exists() else None
    try:
        if local is None:
            from datasets import DownloadManager

            records = json.loads(Path(DownloadManager().download(ZSRE_URL)).read_text())
        else:
            records = json.loads(local.read_text())
        return [dict(record) for record in records]
    except Exception as error:  # as in Source.rows
        raise _unreadable("zsRE", local, ZSRE_URL, ZSRE, folder, error) from error


def _record(record: dict[str, Any]) -> tuple[Edit, Prompt] | None:
    """A record as an edit and a locality prompt; None if a field is empty or the subject is not in the prompt."""
    subject, prompt, target, rephrasing, asked, gold = (
        str(record.get(key) or "").strip()
        for key in ("subject", "src", "alt", "rephrase", "loc", "loc_ans")
    )
    original = str(next(iter(record.get("answers") or ()), ""))
    asked = asked.removeprefix(_NATURAL_QUESTION).strip()
    if (
        not all((subject, prompt, target, rephrasing, asked, gold, original))
        or subject not in prompt
    ):
        return None
    return Edit(subject, prompt, target, original, (rephrasing,)), Prompt(asked, gold)


@cache
def _questions(folder: Path | None, split: Split) -> Questions:
    """WMDP and MMLU through lm-eval's own tasks, once it is known that their data can be read.

    A local copy of MMLU may have any of its 57 subjects; ``mmlu`` is then the mean over their questions.
    """
    places: dict[str, Path | str] = {}
    for source in (WMDP_BIO, WMDP_CYBER, MMLU):
        local = source.copy(folder)
        places[source.name] = local or source.revision
        if source is MMLU and local:
            part = "validation" if split == "validation" else "test"
            if not {path.parent.name for path in local.glob(f"*/{part}*")} - {"all"}:
                raise InvalidInput(
                    f"cais/mmlu: tried {local}, which has no <subject>/{part}*.parquet"
                )
        elif next(source.rows(folder), None) is None:
            raise InvalidInput(f"{source.name} ({source.files}) has no rows")
    names = ("mmlu", "wmdp_bio", "wmdp_cyber")
    return Questions(
        tuple((name, name) for name in names),
        revision=f"lm-eval {version('lm_eval')}",
        split=split,
        sources=tuple(places.items()),
        halved=() if split == "test" else (WMDP_BIO.name,),
    )


@cache
def _forget(folder: Path | None) -> tuple[str, ...]:
    """Texts on hazardous biology and computing in turns; as many of one as of the other."""
    bio, cyber = (
        _first(FORGET, source.texts(folder), source) for source in (FORGET_BIO, FORGET_CYBER)
    )
    return tuple(chain(*zip(bio, cyber, strict=False)))


@cache
def _retain(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """The paragraphs of WikiText-2's train split, shuffled, without headings."""
    texts = [text.strip() for text in WIKITEXT_TRAIN.texts(folder)]
    kept = [text for text in _held_in(texts, folder, tuning) if not text.startswith("= ")]
    random.Random(SEED).shuffle(kept)
    return _first(len(kept), kept, WIKITEXT_TRAIN)


@cache
def _calibration(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """The first documents of C4's first train shard that fill a context, as in the compressions' own code."""
    return _first(
        CALIBRATION, _held_in(C4.texts(folder, longer_than=CONTEXT - 1), folder, tuning), C4
    )


@cache
def _statistics(folder: Path | None) -> tuple[str, ...]:
    """The first articles of Wikipedia, as in MEMIT's code (there shuffled and of 2020)."""
    return _first(STATISTICS, WIKIPEDIA.texts(folder, context=CONTEXT_STATISTICS), WIKIPEDIA)


@cache
def _test_rows(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """What perplexity is measured on, in tests or in tuning."""
    return tuple(
        row["text"] for row in (WIKITEXT_VALIDATION if tuning else WIKITEXT_TEST).rows(folder)
    )


def _held_in(texts: Iterable[str], folder: Path | None, tuning: bool) -> Iterator[str]:
    """The texts of which no paragraph is one of the test text's, nor, in tuning, of the validation text's."""
    tested = {row.strip() for other in {False, tuning} for row in _test_rows(folder, other)} - {""}
    return (text for text in texts if tested.isdisjoint(line.strip() for line in text.splitlines()))


def _first(count: int, texts: Iterable[str], source: Source) -> tuple[str, ...]:
    taken = tuple(islice(texts, count))
    if not taken:
        raise InvalidInput(f"{source.name} ({source.files}) has no text that is long enough")
    return taken


def _unreadable(
    what: str,
    local: Path | None,
    elsewhere: str,
    place: str,
    folder: Path | None,
    error: Exception,
    hint: str = "",
) -> InvalidInput:
    """One line: what, where it was looked for, why that failed, and what to do."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if folder is None:
        copies = f"{VARIABLE} is not set (a copy in the hub's layout goes to ${VARIABLE}/{place})"
    else:
        copies = f"{VARIABLE} is {folder}" + ("" if local else f", which has no {place}")
    return InvalidInput(
        f"cannot read {what}: tried {local or elsewhere}: {reason}; {copies}. {hint}".rstrip(". ")
    )
