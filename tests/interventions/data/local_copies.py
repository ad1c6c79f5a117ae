"""Small local copies of the paper's data sets, in the hub's layout."""

import gzip
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

Rows = list[dict[str, Any]]
SUBJECTS = ("anatomy", "virology")
LONG = " ".join(f"word{i}" for i in range(1500))  # over 10,000 characters
PARAGRAPH = "The lighthouse of {} was built by hand , stone by stone , over eleven years ."
IN_BOTH = PARAGRAPH.format("both splits")
TEST = [
    "",
    " = A lighthouse = \n",
    f" {PARAGRAPH.format('the test split')} \n",
    f" {IN_BOTH} \n",
    "",
]


def record(i: int, **changed: Any) -> dict[str, Any]:
    """A record as in zsre_mend_eval.json."""
    return {
        "subject": f"Bridge {i}",
        "src": f"What river does Bridge {i} cross?",
        "pred": "a",
        "rephrase": f"Which river is crossed by Bridge {i}?",
        "alt": f"River {i}",
        "answers": [f"Stream {i}", "Brook"],
        "loc": f"nq question: who sang song {i}",
        "loc_ans": f"Singer {i}",
        "cond": "a >> b || c",
    } | changed


UNUSABLE = [
    record(900, alt=""),
    record(901, subject="Another Bridge"),
    record(902, answers=[]),
    record(903, loc="nq question: "),
    record(904, loc_ans=""),
    record(905, rephrase=""),
]


def question(text: str, answer: int) -> dict[str, Any]:
    return {
        "question": text,
        "subject": "any",
        "choices": ["red", "green", "blue", "grey"],
        "answer": answer,
    }


def write_parquet(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path, index=False)


def texts(values: Iterable[str]) -> Rows:
    return [{"text": value} for value in values]


def about(domain: str, count: int) -> Rows:
    return [
        {"title": "T", "text": f"A document on {domain}, number {i}: {'more of it. ' * 5}"}
        for i in range(count)
    ]


def c4() -> Iterable[dict[str, str]]:
    yield {"text": "too short", "timestamp": "2019-04-25T12:57:54Z", "url": "u"}
    for i in range(4):
        yield {"text": f"{i} {LONG}", "timestamp": "2019-04-25T12:57:54Z", "url": "u"}
    yield {"text": f"{IN_BOTH}\n{LONG}", "timestamp": "2019-04-25T12:57:54Z", "url": "u"}


def remove(folder: Path, name: str) -> None:
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_copies(folder: Path) -> None:
    """Write all data sets, a few records each."""
    records = [record(i) for i in range(510)]
    (folder / "zsre_mend_eval.json").write_text(
        json.dumps([*records[:200], *UNUSABLE, *records[200:]])
    )
    shard = "00000-of-00001.parquet"
    wikitext = folder / "Salesforce" / "wikitext" / "wikitext-2-raw-v1"
    heading = " = = A heading that is longer than fifty characters , as few are = = \n"
    paragraphs = [f" {PARAGRAPH.format(i)} \n" for i in range(20)]
    write_parquet(
        wikitext / f"train-{shard}",
        texts(["", heading, " short \n", *paragraphs, f" {IN_BOTH} \n"]),
    )
    write_parquet(wikitext / f"test-{shard}", texts(TEST))
    write_parquet(wikitext / f"validation-{shard}", texts([PARAGRAPH.format("tuning")]))
    cais = folder / "cais"
    write_parquet(
        cais / "wmdp-bio-forget-corpus" / "data" / "train-00000-of-00002.parquet", about("moss", 2)
    )
    write_parquet(
        cais / "wmdp-bio-forget-corpus" / "data" / "train-00001-of-00002.parquet", about("fern", 2)
    )
    write_parquet(
        cais / "wmdp-corpora" / "cyber-forget-corpus" / f"train-{shard}",
        [*texts(["short"]), *about("knots", 3)],
    )
    write_parquet(cais / "wmdp-corpora" / "bio-retain-corpus" / f"train-{shard}", about("bees", 3))
    for config in ("wmdp-bio", "wmdp-cyber"):
        rows = [question(f"Which colour has {config} {i}?", i % 4) for i in range(6)]
        write_parquet(cais / "wmdp" / config / f"test-{shard}", rows)
    card = ["---", "configs:"]
    for subject in SUBJECTS:
        for split, count in (("test", 5), ("validation", 2), ("dev", 1)):
            rows = [
                question(f"Which colour has {subject} {split} {i}?", (i + 1) % 4)
                for i in range(count)
            ]
            write_parquet(cais / "mmlu" / subject / f"{split}-{shard}", rows)
        files = [
            f"  - split: {split}\n    path: {subject}/{split}-*"
            for split in ("test", "validation", "dev")
        ]
        card += [f"- config_name: {subject}", "  data_files:", *files]
    (cais / "mmlu" / "README.md").write_text("\n".join([*card, "---", "# MMLU"]))
    c4_shard = folder / "allenai" / "c4" / "en" / "c4-train.00000-of-01024.json.gz"
    c4_shard.parent.mkdir(parents=True)
    with gzip.open(c4_shard, "wt") as file:
        file.write("\n".join(json.dumps(row) for row in c4()))
    articles = [{"id": str(i), "url": "u", "title": "T", "text": f"{i} {LONG}"} for i in range(3)]
    write_parquet(
        folder / "wikimedia" / "wikipedia" / "20231101.en" / "train-00000-of-00041.parquet",
        articles,
    )
