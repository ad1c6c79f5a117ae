"""The paper's data, read from small local copies in the hub's layout (there is no hub in tests)."""

import dataclasses
import gzip
import json
import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from interventions.composition import Composition
from interventions.criteria import question_answering
from interventions.criteria.base import measure
from interventions.data import paper as module
from interventions.data.base import Data, Edit, Lazy, Prompt, Questions
from interventions.data.paper import paper
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking.plan import prepare
from tracking.settings import Settings

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
    """As in zsre_mend_eval.json."""
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


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All data sets, a few records each; not to be changed."""
    folder = tmp_path_factory.mktemp("copies")
    records = [record(i) for i in range(510)]
    (folder / "zsre_mend_eval.json").write_text(
        json.dumps([*records[:200], *UNUSABLE, *records[200:]])
    )
    one = "00000-of-00001.parquet"
    wikitext = folder / "Salesforce" / "wikitext" / "wikitext-2-raw-v1"
    heading = " = = A heading that is longer than fifty characters , as few are = = \n"
    paragraphs = [f" {PARAGRAPH.format(i)} \n" for i in range(20)]
    write_parquet(
        wikitext / f"train-{one}", texts(["", heading, " short \n", *paragraphs, f" {IN_BOTH} \n"])
    )
    write_parquet(wikitext / f"test-{one}", texts(TEST))
    write_parquet(wikitext / f"validation-{one}", texts([PARAGRAPH.format("tuning")]))
    cais = folder / "cais"
    write_parquet(
        cais / "wmdp-bio-forget-corpus" / "data" / "train-00000-of-00002.parquet", about("moss", 2)
    )
    write_parquet(
        cais / "wmdp-bio-forget-corpus" / "data" / "train-00001-of-00002.parquet", about("fern", 2)
    )
    write_parquet(
        cais / "wmdp-corpora" / "cyber-forget-corpus" / f"train-{one}",
        [*texts(["short"]), *about("knots", 3)],
    )
    write_parquet(cais / "wmdp-corpora" / "bio-retain-corpus" / f"train-{one}", about("bees", 3))
    for config in ("wmdp-bio", "wmdp-cyber"):
        rows = [question(f"Which colour has {config} {i}?", i % 4) for i in range(6)]
        write_parquet(cais / "wmdp" / config / f"test-{one}", rows)
    card = ["---", "configs:"]
    for subject in SUBJECTS:
        for split, count in (("test", 5), ("validation", 2), ("dev", 1)):
            rows = [
                question(f"Which colour has {subject} {split} {i}?", (i + 1) % 4)
                for i in range(count)
            ]
            write_parquet(cais / "mmlu" / subject / f"{split}-{one}", rows)
        files = [
            f"  - split: {split}\n    path: {subject}/{split}-*"
            for split in ("test", "validation", "dev")
        ]
        card += [f"- config_name: {subject}", "  data_files:", *files]
    (cais / "mmlu" / "README.md").write_text("\n".join([*card, "---", "# MMLU"]))
    shard = folder / "allenai" / "c4" / "en" / "c4-train.00000-of-01024.json.gz"
    shard.parent.mkdir(parents=True)
    with gzip.open(shard, "wt") as file:
        file.write("\n".join(json.dumps(row) for row in c4()))
    articles = [{"id": str(i), "url": "u", "title": "T", "text": f"{i} {LONG}"} for i in range(3)]
    write_parquet(
        folder / "wikimedia" / "wikipedia" / "20231101.en" / "train-00000-of-00041.parquet",
        articles,
    )
    return folder


@pytest.fixture
def copies(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be changed; what `datasets` prepares of it goes with it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv(module.VARIABLE, raising=False)
    return Path(shutil.copytree(made, tmp_path / "copies"))


def remove(folder: Path, name: str) -> None:
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_zsre_record_is_an_edit_and_a_locality_prompt(copies: Path) -> None:
    data = paper(0, source=copies)
    i = int(data.edits[0].subject.split()[1])
    asked, again = f"What river does Bridge {i} cross?", f"Which river is crossed by Bridge {i}?"
    assert data.edits[0] == Edit(f"Bridge {i}", asked, f"River {i}", f"Stream {i}", (again,))
    assert data.locality[0] == Prompt(f"who sang song {i}", f"Singer {i}")


def test_usable_records_are_shuffled_with_seed_100_and_cut_into_ten_batches_of_50(
    copies: Path,
) -> None:
    order = list(range(510))
    random.Random(100).shuffle(order)
    subjects = [edit.subject for batch in range(10) for edit in paper(batch, source=copies).edits]
    assert subjects == [f"Bridge {i}" for i in order[:500]]


def test_records_that_lack_a_field_or_do_not_name_their_subject_are_skipped(copies: Path) -> None:
    (copies / "zsre_mend_eval.json").write_text(
        json.dumps([*UNUSABLE, *(record(i) for i in range(50))])
    )
    assert {edit.subject for edit in paper(0, source=copies).edits} == {
        f"Bridge {i}" for i in range(50)
    }
    with pytest.raises(
        InvalidInput, match="zsRE has 50 usable records, too few for edit_batch=1, which needs 100"
    ):
        paper(1, source=copies)


@pytest.mark.parametrize("batch", [-1, 10])
def test_another_batch_than_the_ten_is_refused(batch: int, copies: Path) -> None:
    with pytest.raises(
        InvalidInput, match=f"edit_batch must be 0 to 9 on the paper's data, but got {batch}"
    ):
        paper(batch, source=copies)


def test_the_test_text_is_the_test_split_joined_by_blank_lines_in_windows_of_llama_3s_context(
    copies: Path,
) -> None:
    data = paper(0, source=copies)
    assert data.test_text == ("\n\n".join(TEST),)
    assert (data.name, data.window) == ("paper", 8192)


def test_what_is_forgotten_alternates_between_bio_and_cyber_as_long_as_there_are_both(
    copies: Path,
) -> None:
    assert [text.split(":")[0] for text in paper(0, source=copies).forget] == [
        f"A document on {domain}, number {i}"
        for domain, i in (
            ("moss", 0),
            ("knots", 0),
            ("moss", 1),
            ("knots", 1),
            ("fern", 0),
            ("knots", 2),
        )
    ]


def test_what_is_retained_are_the_paragraphs_of_the_train_split_shuffled(copies: Path) -> None:
    retained = paper(0, source=copies).retain
    assert sorted(retained) == sorted(PARAGRAPH.format(i) for i in range(20))
    assert list(retained) != sorted(retained, key=lambda text: int(text.split()[3]))


def test_calibration_texts_are_documents_of_c4_that_fill_a_context(copies: Path) -> None:
    assert list(paper(0, source=copies).calibration) == [f"{i} {LONG}"[:10_000] for i in range(4)]


def test_statistics_are_the_first_articles_of_wikipedia(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATISTICS", 2)
    assert list(paper(0, source=copies).statistics) == [f"{i} {LONG}"[:4000] for i in range(2)]


def test_no_text_is_both_learned_from_and_tested_on(copies: Path) -> None:
    data = paper(0, source=copies)
    tested = {line.strip() for line in data.test_text[0].splitlines()} - {""}
    assert IN_BOTH in tested
    for text in (*data.retain, *data.calibration, *data.forget):
        assert text not in data.test_text[0]
        assert not tested & {line.strip() for line in text.splitlines()}


def test_a_corpus_is_read_only_when_a_step_uses_it(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A composition of an edit and a compression needs neither the gated corpus nor Wikipedia."""
    for unused in ("cais/wmdp-bio-forget-corpus", "wikimedia/wikipedia"):
        remove(copies, unused)
    monkeypatch.setenv(module.VARIABLE, str(copies))
    assert prepare("lora | wanda", Settings(data="paper")).data.name == "paper"
    with pytest.raises(InvalidInput, match="cais/wmdp-bio-forget-corpus"):
        prepare("ga(last_layers=2)", Settings(data="paper"))


def test_a_lazy_part_has_the_identity_of_a_tuple_of_its_texts(small: Data) -> None:
    read: list[int] = []

    def texts() -> tuple[str, ...]:
        read.append(1)
        return tuple(small.forget)

    lazy = dataclasses.replace(small, forget=Lazy(texts))
    assert not read
    assert lazy.identity("forget") == small.identity("forget") == lazy.identity("forget")
    assert list(lazy.forget[:3]) == list(small.forget[:3]) and len(lazy.forget) == len(small.forget)
    assert len(read) == 1


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
    """It names the data set, what was tried and the variable; parts that every run needs are missed at once."""
    remove(copies, name)
    with pytest.raises(InvalidInput) as caught:
        data = paper(0, source=copies)
        assert part
        data.identity(part)
    message = str(caught.value)
    tried = module.ZSRE_URL if name.endswith(".json") else "the Hugging Face hub"
    assert "\n" not in message
    assert f"tried {tried}" in message
    assert f"{module.VARIABLE} is {copies}, which has no {name}" in message


def test_access_to_the_gated_corpus_is_on_request(copies: Path) -> None:
    remove(copies, "cais/wmdp-bio-forget-corpus")
    asked = (
        "Access is on request: ask at https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus"
    )
    with pytest.raises(InvalidInput, match=asked):
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
    module._questions.cache_clear()
    with pytest.raises(
        InvalidInput, match=rf"cais/mmlu: tried {copies}/cais/mmlu, which has no <subject>/test"
    ):
        paper(0, source=copies)


def test_the_variable_names_the_folder_and_must_name_one(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.VARIABLE, str(copies))
    assert paper(3).edits == paper(3, source=copies).edits
    monkeypatch.setenv(module.VARIABLE, str(copies / "none"))
    with pytest.raises(
        InvalidInput, match="COMPOSABILITY_DATA must name a folder of local data sets"
    ):
        paper()


def test_without_local_copies_the_hub_is_asked_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.delenv(module.VARIABLE, raising=False)
    with pytest.raises(
        InvalidInput,
        match=f"cannot read zsRE: tried {module.ZSRE_URL}: .*{module.VARIABLE} is not set",
    ):
        prepare("none", Settings(data="paper"))


def test_on_the_hub_every_data_set_is_asked_for_by_its_config_and_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None, **options: Any) -> Rows:
        asked.append(
            (name, config, options["split"], options["streaming"], options.get("data_files"))
        )
        assert len(options["revision"]) == 40
        return texts([LONG])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    sources = (
        module.WIKITEXT_TEST,
        module.FORGET_BIO,
        module.FORGET_CYBER,
        module.C4,
        module.WIKIPEDIA,
        module.WMDP_BIO,
    )
    for source in sources:
        next(source.rows(None))
    shard = {"train": "en/c4-train.00000-of-01024.json.gz"}
    assert asked == [
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "test", False, None),
        ("cais/wmdp-bio-forget-corpus", None, "train", True, None),
        ("cais/wmdp-corpora", "cyber-forget-corpus", "train", False, None),
        ("allenai/c4", None, "train", True, shard),
        ("wikimedia/wikipedia", "20231101.en", "train", True, None),
        ("cais/wmdp", "wmdp-bio", "test", False, None),
    ]


def test_lm_evals_own_tasks_are_asked_of_the_local_copies(lm: LM, copies: Path) -> None:
    """Reference: the likeliest of " A" to " D" after lm-eval's prompt, one question at a time."""
    data = paper(0, source=copies)
    measured = measure(lm, data, ["mmlu", "wmdp_bio", "wmdp_cyber", "wmdp"])
    assert set(measured["mmlu"].items) == {
        f"mmlu_{subject}/{i}" for subject in SUBJECTS for i in range(5)
    }
    assert set(measured["wmdp_bio"].items) == {str(i) for i in range(6)}
    assert len(measured["wmdp"].items) == 12
    right = []
    for subject in SUBJECTS:
        for i in range(5):
            prompt = (
                f"The following are multiple choice questions (with answers) about {subject}.\n\n"
                f"Which colour has {subject} test {i}?\nA. red\nB. green\nC. blue\nD. grey\nAnswer:"
            )
            right.append(float(likeliest(lm, prompt, [" A", " B", " C", " D"]) == (i + 1) % 4))
    assert list(measured["mmlu"].items.values()) == right
    assert measured["mmlu"].value == pytest.approx(sum(right) / 10)


def likeliest(lm: LM, prompt: str, answers: list[str]) -> int:
    likelihoods = []
    start = len(lm.tokenizer.encode(prompt))
    for answer in answers:
        ids = torch.tensor([lm.tokenizer.encode(prompt + answer)])
        with torch.no_grad():
            logits = lm.model(ids).logits[0, :-1]
        likelihoods.append(
            -float(F.cross_entropy(logits[start - 1 :], ids[0, start:], reduction="sum"))
        )
    return likelihoods.index(max(likelihoods))


def test_the_hubs_tasks_are_lm_evals_57_subjects_and_wmdp_at_pinned_commits() -> None:
    sources = tuple((source.name, source.revision) for source in (module.WMDP_BIO, module.MMLU))
    names = ("mmlu", "wmdp_bio", "wmdp_cyber")
    questions = Questions(tuple((name, name) for name in names), sources=sources)
    configs = question_answering.configs(questions)
    assert sum(config["task"].startswith("mmlu_") for config in configs) == 57
    assert {(c["dataset_path"], c["dataset_kwargs"]["revision"]) for c in configs} == {*sources}
    assert {config["num_fewshot"] for config in configs} == {0}
    assert [c["dataset_name"] for c in configs if c["task"].startswith("wmdp")] == [
        "wmdp-bio",
        "wmdp-cyber",
    ]


def test_tuning_and_what_judges_it_share_no_edit_question_or_text(lm: LM, copies: Path) -> None:
    """WMDP has test questions only: half of them are for tuning, and then the other half judges."""
    zsre = [record(i) for i in range(560)]
    (copies / "zsre_mend_eval.json").write_text(json.dumps(zsre))
    tuning, judging, test = (
        paper(0, split, copies) for split in ("validation", "held_out", "test")
    )
    tested = {edit.subject for batch in range(10) for edit in paper(batch, source=copies).edits}
    assert len(tuning.edits) == 50 and not tested & {edit.subject for edit in tuning.edits}
    assert judging.edits == test.edits and judging.test_text == test.test_text
    assert tuning.test_text == (PARAGRAPH.format("tuning"),)
    asked = {
        split: {name: [doc["question"] for doc in question_answering.tasks(data.questions)["tasks"][name].test_docs()]
                for name in ("wmdp_bio", "mmlu_anatomy")}
        for split, data in (("validation", tuning), ("held_out", judging), ("test", test))
    }  # fmt: skip
    bio = [f"Which colour has wmdp-bio {i}?" for i in range(6)]
    assert [asked[split]["wmdp_bio"] for split in asked] == [bio[::2], bio[1::2], bio]
    assert asked["validation"]["mmlu_anatomy"] == [
        f"Which colour has anatomy validation {i}?" for i in range(2)
    ]
    assert asked["held_out"]["mmlu_anatomy"] == asked["test"]["mmlu_anatomy"]
    assert len({data.identity("questions") for data in (tuning, judging, test)}) == 3
    values = measure(lm, tuning, ["wmdp", "mmlu"])
    assert len(values["wmdp"].items) == 6 and len(values["mmlu"].items) == 4
    with pytest.raises(
        InvalidInput,
        match="edit_batch must be 0 to 4 on the paper's data with split=validation, but",
    ):
        paper(5, "validation", copies)


def test_a_paragraph_of_the_validation_text_is_not_learned_from_in_tuning(copies: Path) -> None:
    wikitext = copies / "Salesforce/wikitext/wikitext-2-raw-v1"
    both = PARAGRAPH.format(3)
    (copies / "zsre_mend_eval.json").write_text(json.dumps([record(i) for i in range(560)]))
    write_parquet(wikitext / "validation-00000-of-00001.parquet", texts([both]))
    assert both in paper(0, source=copies).retain
    assert both not in paper(0, "validation", copies).retain


def test_questions_are_known_by_their_content_not_their_place(copies: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(copies, tmp_path / "moved"))
    (moved / "cais/mmlu/.cache").mkdir()
    (moved / "cais/mmlu/.cache/download").write_text("a note of the downloader")
    before = paper(0, source=copies).identity("questions")
    assert paper(0, source=moved).identity("questions") == before
    changed = Path(shutil.copytree(copies, tmp_path / "changed"))
    file = changed / "cais/mmlu/anatomy/test-00000-of-00001.parquet"
    write_parquet(file, [question("Which colour has another?", 0)])
    assert paper(0, source=changed).identity("questions") != before


def test_the_paper_profile_of_a_composition_is_planned_on_the_papers_data(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.VARIABLE, str(copies))
    plan = prepare("wanda", Settings(data="paper", edit_batch=2))
    assert plan.composition == Composition.parse("wanda(sparsity=0.25)")
    assert plan.data.edits == paper(2, source=copies).edits
    assert len(plan.keys) == 2
