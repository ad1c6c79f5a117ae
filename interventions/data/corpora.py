"""The paper's texts: WikiText-2, WMDP's forget corpora, C4, the Pile and Wikipedia.

What is learned from shares no paragraph with what perplexity is measured on.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice
from pathlib import Path

import numpy as np

from interventions.data.hub import CONTEXT, Source
from interventions.errors import InvalidInput

# texts per domain: 2000 in all are the most that the paper's grids use (Tables 6 and 7)
FORGET = 1000
TOPICS = ("bio", "cyber")  # of these texts, in their order
CALIBRATION = 256  # texts: twice the paper's 128
STATISTICS = 100_000  # texts, as the paper's MEMIT (section C)
# characters, over the 512 tokens that MEMIT uses of a text; 0.4 GB for all of them
CONTEXT_STATISTICS = 4_000
SEED = 100  # of the shuffle of what is retained
# AWQ's code shuffles the Pile's validation texts with this seed, and makes blocks of 512 tokens of
# those that are no longer
PILE_SEED, PILE_BLOCK = 42, 2_000  # characters, about 512 tokens

_WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1")
_WIKITEXT_REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
WIKITEXT_TRAIN = Source(*_WIKITEXT, "train", _WIKITEXT_REVISION)
WIKITEXT_TEST = Source(*_WIKITEXT, "test", _WIKITEXT_REVISION)
WIKITEXT_VALIDATION = Source(*_WIKITEXT, "validation", _WIKITEXT_REVISION)
FORGET_BIO = Source(
    "cais/wmdp-bio-forget-corpus",
    "",
    "train",
    "5a786ed1041e56fef2d4ed26c1239f12b73a68eb",
    large=True,
    hint=(
        "Access is on request: ask at "
        "https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus, then `hf auth login`"
    ),
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
# only local copies are read: in the hub's layout, or the one file of the hub's data set
_PILE = "mit-han-lab/pile-val-backup"
PILE = Source(_PILE, "", "validation", revision="")
PILE_FILE = Source(
    _PILE,
    ".",
    "validation",
    revision="",
    file="val.jsonl*",
    hint="A .zst file needs `pip install zstandard`",
)
WIKIPEDIA = Source(
    "wikimedia/wikipedia",
    "20231101.en",
    "train",
    "b04c8d1ceb2f5cd4588862100d08de323dccfbaa",
    large=True,
)


@cache
def forget_texts(folder: Path | None) -> tuple[str, ...]:
    """Return texts on hazardous biology and computing in turns, as many of each.

    Args:
        folder: of local copies, as in all functions here.

    Raises:
        InvalidInput: a corpus cannot be read, as in all functions here.
    """
    bio, cyber = (
        _first(FORGET, source.texts(folder), source) for source in (FORGET_BIO, FORGET_CYBER)
    )
    return tuple(chain(*zip(bio, cyber, strict=False)))


@cache
def retain_texts(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """Return the paragraphs of WikiText-2's train split, shuffled, without headings."""
    paragraphs = [text.strip() for text in WIKITEXT_TRAIN.texts(folder)]
    untested = _without_tested(paragraphs, folder, tuning)
    retained = [text for text in untested if not text.startswith("= ")]
    random.Random(SEED).shuffle(retained)
    return _first(len(retained), retained, WIKITEXT_TRAIN)


@cache
def calibration_texts(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """Return the first documents of C4's first train shard that fill a context.

    So do the compressions' own codes.
    """
    full = C4.texts(folder, longer_than=CONTEXT - 1)
    return _first(CALIBRATION, _without_tested(full, folder, tuning), C4)


@cache
def awq_texts(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """Return texts of the Pile's validation split, as in AWQ's code; without a local copy, C4's.

    Short texts are shuffled as there, joined by blank lines, and cut into blocks.
    """
    source = awq_corpus(folder)
    if source is C4:
        warnings.warn(
            f"AWQ is calibrated on C4: there is no local copy of {_PILE}, which the paper uses",
            stacklevel=2,
        )
        return calibration_texts(folder, tuning)
    texts = [(row.get("text") or "").strip() for row in source.rows(folder)]
    order = np.random.default_rng(PILE_SEED).permutation(len(texts))
    shuffled = (texts[index] for index in order)
    short = (text for text in shuffled if 0 < len(text) <= PILE_BLOCK)
    return _first(CALIBRATION, _blocks(_without_tested(short, folder, tuning)), source)


def awq_corpus(folder: Path | None) -> Source:
    """Return what AWQ is calibrated on: the Pile if there is a local copy, else C4."""
    copy = PILE.copy(folder)
    if copy is None:
        return C4
    return PILE_FILE if any(copy.glob(PILE_FILE.file)) else PILE


def _blocks(texts: Iterable[str]) -> Iterator[str]:
    """Join texts, and yield all whole blocks of them."""
    joined = ""
    for text in texts:
        joined += f"{text}\n\n"
        while len(joined) >= PILE_BLOCK:
            yield joined[:PILE_BLOCK]
            joined = joined[PILE_BLOCK:]


@cache
def statistics_texts(folder: Path | None) -> tuple[str, ...]:
    """Return the first articles of Wikipedia, as in MEMIT's code (there shuffled and of 2020)."""
    return _first(STATISTICS, WIKIPEDIA.texts(folder, context=CONTEXT_STATISTICS), WIKIPEDIA)


@cache
def perplexity_rows(folder: Path | None, tuning: bool) -> tuple[str, ...]:
    """Return the rows of WikiText-2 that perplexity is measured on: in tests, or in tuning."""
    source = WIKITEXT_VALIDATION if tuning else WIKITEXT_TEST
    return tuple(row["text"] for row in source.rows(folder))


def _without_tested(texts: Iterable[str], folder: Path | None, tuning: bool) -> Iterator[str]:
    """Return the texts that share no paragraph with the test text.

    In tuning, with the validation text neither.
    """
    tested = {
        row.strip() for in_tuning in {False, tuning} for row in perplexity_rows(folder, in_tuning)
    } - {""}
    return (text for text in texts if tested.isdisjoint(line.strip() for line in text.splitlines()))


def _first(count: int, texts: Iterable[str], source: Source) -> tuple[str, ...]:
    first_texts = tuple(islice(texts, count))
    if not first_texts:
        raise InvalidInput(f"{source.name} ({source.files}) has no text that is long enough")
    return first_texts
