"""Where data sets are read from, and what is said if they cannot be."""

import os
from pathlib import Path
from typing import Any

import datasets
import pytest

from interventions.data import corpora, hub, zsre
from interventions.data import paper as paper_module
from interventions.data.paper import WMDP_BIO, paper
from interventions.errors import InvalidInput
from tests.interventions.data.local_copies import (
    LONG,
    SUBJECTS,
    Rows,
    remove,
    texts,
    write_parquet,
)
from tracking.plan import plan_run
from tracking.settings import Settings


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("zsre_mend_eval.json", None),
        ("Salesforce/wikitext", None),
        ("cais/wmdp", None),
        ("cais/mmlu", None),
        ("cais/wmdp-bio-forget-corpus", "forget"),
        ("cais/wmdp-corpora", "forget"),
        ("allenai/c4", "calibration"),
        ("wikimedia/wikipedia", "statistics"),
    ],
)
def test_what_is_neither_local_nor_reachable_is_one_line(
    name: str, part: str | None, copies: Path
) -> None:
    """Parts that every run needs are missed at once, the rest when they are used."""
    remove(copies, name)
    with pytest.raises(InvalidInput) as caught:
        data = paper(0, source=copies)
        assert part
        data.identity(part)
    message = str(caught.value)
    tried = zsre.URL if name.endswith(".json") else "the Hugging Face hub"
    assert "\n" not in message
    assert f"tried {tried}" in message
    assert f"{hub.VARIABLE} is {copies}, which has no {name}" in message


def test_access_to_the_gated_corpus_is_on_request(copies: Path) -> None:
    remove(copies, "cais/wmdp-bio-forget-corpus")
    address = (
        "Access is on request: ask at https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus"
    )
    with pytest.raises(InvalidInput, match=address):
        len(paper(0, source=copies).forget)


def test_a_local_copy_that_lacks_a_split_or_a_column_is_named(copies: Path) -> None:
    remove(copies, "allenai/c4/en/c4-train.00000-of-01024.json.gz")
    with pytest.raises(
        InvalidInput,
        match=rf"cannot read allenai/c4 \(en/c4-train.*\): tried {copies}/allenai/c4: ",
    ):
        len(paper(0, source=copies).calibration)
    file = copies / "cais/wmdp-corpora/cyber-forget-corpus/train-00000-of-00001.parquet"
    write_parquet(file, [{"body": "b"}])
    with pytest.raises(InvalidInput, match=r"cais/wmdp-corpora .* has no column 'text', only body"):
        len(paper(0, source=copies).forget)
    for subject in SUBJECTS:
        remove(copies, f"cais/mmlu/{subject}")
    paper_module._questions.cache_clear()
    with pytest.raises(
        InvalidInput, match=rf"cais/mmlu: tried {copies}/cais/mmlu, which has no <subject>/test"
    ):
        paper(0, source=copies)


def test_the_variable_names_the_folder_and_must_name_one(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hub.VARIABLE, str(copies))
    assert paper(3).edits == paper(3, source=copies).edits
    monkeypatch.setenv(hub.VARIABLE, str(copies / "none"))
    with pytest.raises(
        InvalidInput, match="COMPOSABILITY_DATA must name a folder of local data sets"
    ):
        paper()


def test_without_local_copies_the_hub_is_asked_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.delenv(hub.VARIABLE, raising=False)
    with pytest.raises(
        InvalidInput,
        match=f"cannot read zsRE: tried {zsre.URL}: .*{hub.VARIABLE} is not set",
    ):
        plan_run("none", Settings(data="paper"))


def test_on_the_hub_every_data_set_is_asked_for_by_its_config_and_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None, **options: Any) -> Rows:
        requests.append(
            (name, config, options["split"], options["streaming"], options.get("data_files"))
        )
        assert len(options["revision"]) == 40
        return texts([LONG])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    sources = (
        corpora.WIKITEXT_TEST,
        corpora.FORGET_BIO,
        corpora.FORGET_CYBER,
        corpora.C4,
        corpora.WIKIPEDIA,
        WMDP_BIO,
    )
    for source in sources:
        next(source.rows(None))
    shard = {"train": "en/c4-train.00000-of-01024.json.gz"}
    assert requests == [
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "test", False, None),
        ("cais/wmdp-bio-forget-corpus", None, "train", True, None),
        ("cais/wmdp-corpora", "cyber-forget-corpus", "train", False, None),
        ("allenai/c4", None, "train", True, shard),
        ("wikimedia/wikipedia", "20231101.en", "train", True, None),
        ("cais/wmdp", "wmdp-bio", "test", False, None),
    ]


def test_a_text_is_read_if_it_is_longer_than_a_heading_and_cut_to_a_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = (49, 50, 51, 10_000, 10_001)
    rows = [*texts("x" * length for length in lengths), {"text": None}]
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: rows)
    assert [len(text) for text in corpora.C4.texts(None)] == [51, 10_000, 10_000]
    assert [len(text) for text in corpora.C4.texts(None, 0, 50)] == [49, 50, 50, 50, 50]


def test_of_gated_data_the_hubs_whole_message_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_offline_mode", lambda: False)
    said = (
        "403 Client Error. (Request ID: Root=1-67)\n\nCannot access gated repo for url"
        " https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus/resolve/main/bio.json.\n"
        "Access to dataset cais/wmdp-bio-forget-corpus is restricted and you are not in the"
        " authorized list. Visit https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus to ask"
        " for access."
    )
    refusal = hub.unreadable(
        "cais/wmdp-bio-forget-corpus (train)",
        tried=hub.HUB,
        place="cais/wmdp-bio-forget-corpus",
        folder=None,
        error=OSError(said),
        hint="Access is on request: ask at https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus",
    )
    told = " ".join([str(refusal), *refusal.__notes__])
    assert "ask at https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus" in str(refusal)
    assert "Visit https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus to ask" in told
    assert len(str(refusal)) <= 390 and "\n" not in told
