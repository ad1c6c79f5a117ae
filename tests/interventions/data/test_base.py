"""Data: the identity of each part, and which questions of a data set are asked."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest

from interventions.data.base import PARTS, Data, Edit, Lazy, PortabilityPrompt, Prompt, Questions
from interventions.errors import InvalidInput


def test_the_parts_are_all_fields_but_the_name() -> None:
    assert "name" not in PARTS and "_identities" not in PARTS
    assert {"edits", "questions", "window", "base_answers"} <= PARTS
    assert {"facts", "portability", "hops", "aliases", "reversals"} <= PARTS
    assert len(PARTS) == 19 and "retain_model" not in PARTS


def test_equal_content_has_equal_identity_and_a_change_another(small: Data) -> None:
    again = dataclasses.replace(small)
    for part in PARTS:
        assert again.identity(part) == small.identity(part) and len(again.identity(part)) == 32
    first = small.edits[0]
    for field in ("subject", "prompt", "target", "original"):
        values: dict[str, Any] = {field: "changed"}
        changed = (dataclasses.replace(first, **values), *small.edits[1:])
        data = dataclasses.replace(small, edits=changed)
        assert data.identity("edits") != small.identity("edits"), field
        assert data.identity("locality") == small.identity("locality")
    for part in ("forget", "test_text", "base_answers"):
        fewer = dataclasses.replace(small, **{part: getattr(small, part)[:-1]})
        assert fewer.identity(part) != small.identity(part)


def test_an_identity_is_computed_once(small: Data) -> None:
    reads: list[int] = []

    def read() -> tuple[str, ...]:
        reads.append(1)
        return ("text",)

    data = dataclasses.replace(small, forget=Lazy(read))
    assert data.identity("forget") == data.identity("forget") == Lazy(read).identity
    assert len(reads) == 2 and data.forget[0] == "text" and len(reads) == 2


def test_lazy_texts_are_a_sequence() -> None:
    texts = Lazy(lambda: ("a", "b", "c"))
    assert list(texts) == ["a", "b", "c"] and texts[1:] == ("b", "c") and len(texts) == 3


def test_a_data_set_of_test_questions_only_is_halved() -> None:
    questions = Questions((), halved=("halved",))
    rows = {
        split: [
            dataclasses.replace(questions, split=split).rows(name) for name in ("halved", "whole")
        ]
        for split in ("test", "validation", "held_out")
    }
    assert rows["validation"] == [
        ("test", slice(0, None, 2)), ("validation", slice(None))
    ]  # fmt: skip
    assert rows["held_out"] == [("test", slice(1, None, 2)), ("test", slice(None))]
    assert Questions((), split="test").rows("whole") == ("test", slice(None))


def test_the_identity_of_questions_changes_with_all_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("{}")
    questions = Questions((("mmlu", "mmlu"),), tmp_path, sources=(("name", "revision"),))
    changes: tuple[dict[str, Any], ...] = (
        {"tasks": (("mmlu", "other"),)},
        {"folder": None},
        {"revision": "lm-eval 0"},
        {"split": "validation"},
        {"sources": (("name", "another"),)},
        {"halved": ("name",)},
    )
    identities = {dataclasses.replace(questions, **change).identity for change in changes}
    assert len(identities | {questions.identity}) == len(changes) + 1
    before = dataclasses.replace(questions).identity
    (tmp_path / ".hidden").write_text("a downloader's note")
    (tmp_path / "folder").mkdir()
    assert dataclasses.replace(questions).identity == before == questions.identity
    (tmp_path / "folder" / "more.jsonl").write_text("{}")
    assert dataclasses.replace(questions).identity != before


HOP = PortabilityPrompt("The mayor of Vesk's seat is", "Ann", "hop")
ALIAS = PortabilityPrompt("The seat of Old Vesk is", "Orlo", "alias")


def test_edits_without_portability_prompts_have_the_identity_that_they_had(small: Data) -> None:
    """Recorded with the code of before there were such prompts: no edit is computed again."""
    plain = Edit("Vesk", "The seat of Vesk is", "Orlo", "Tarn", ("Vesk's seat is",))
    data = dataclasses.replace(small, edits=(plain,))
    assert data.identity("edits") == "88252304173cc195b262a1bd39e2267c"
    asked = [dataclasses.replace(plain, portability=prompts) for prompts in ((HOP,), (ALIAS,))]
    others = [dataclasses.replace(small, edits=(edit,)) for edit in asked]
    for part in ("edits", "portability"):
        identities = {each.identity(part) for each in (data, *others)}
        assert len(identities) == 3, part


def test_portability_prompts_are_told_apart_by_kind_in_the_order_of_their_edits(
    small: Data,
) -> None:
    plain = dataclasses.replace(small.edits[0], portability=())
    with_prompts = dataclasses.replace(plain, portability=(ALIAS, HOP))
    back = PortabilityPrompt("Orlo is the seat of", "Vesk", "reverse")
    last = dataclasses.replace(plain, portability=(back, ALIAS))
    data = dataclasses.replace(small, edits=(with_prompts, plain, last))
    assert data.portability == (ALIAS, HOP, back, ALIAS)
    assert (data.hops, data.aliases, data.reversals) == ((HOP,), (ALIAS, ALIAS), (back,))
    assert data.has("hops") and not dataclasses.replace(data, edits=(plain,)).has("hops")


@pytest.mark.parametrize("part", ["edits", "locality", "test_text", "facts", "base_answers"])
def test_data_have_what_is_not_empty(small: Data, part: str) -> None:
    assert small.has(part)
    empty: dict[str, Any] = {part: ()}
    assert not dataclasses.replace(small, **empty).has(part)


def test_texts_that_are_read_on_first_use_are_there_without_being_read(small: Data) -> None:
    def read() -> tuple[str, ...]:
        raise AssertionError("was read")

    assert dataclasses.replace(small, forget=Lazy(read)).has("forget")
    assert dataclasses.replace(small, base_answers=None).has("base_answers")


def test_a_prompt_of_portability_is_of_a_kind_that_there_is() -> None:
    assert PortabilityPrompt("The spouse of Orlo Vint is", "Mira Kest", "hop").kind == "hop"
    with pytest.raises(InvalidInput, match=r"kind must be .*but got .hops."):
        PortabilityPrompt("The spouse of Orlo Vint is", "Mira Kest", cast(Any, "hops"))


def test_windows_that_do_not_overlap_are_the_usual_way_whatever_the_stride() -> None:
    assert Data("own", window=8, stride=8).changed_windows == {}
    assert Data("own", window=8, stride=9).changed_windows == {}
    assert Data("own", window=8, stride=7, tail="drop").changed_windows == {
        "stride": 7, "tail": "drop"
    }  # fmt: skip


def test_another_models_answers_are_there_if_it_is_or_if_it_was_asked() -> None:
    assert not Data("own").has("retain_choices")
    assert Data("own", retain_model="folder").has("retain_choices")
    assert Data("own", retain_choices=(("mmlu/0", (-1.0,)),)).has("retain_choices")


def test_data_have_the_sets_of_questions_that_are_named() -> None:
    data = Data("own", questions=Questions((("mmlu", "mmlu"),)))
    assert data.has("questions") and data.has("questions.mmlu")
    assert not data.has("questions.wmdp") and not Data("own").has("questions")


EDITS = tuple(Edit(name, f"{name} is in", "Rome", "Oslo", ()) for name in ("Ann", "Bea", "Cid"))


def test_a_limit_draws_a_sample_of_what_is_measured_and_0_draws_none() -> None:
    locality = tuple(Prompt(edit.subject, "Rome") for edit in EDITS)
    data = Data("own", EDITS, locality, first_edits=EDITS, forget=("a", "b", "c"))
    assert data.limited(0) is data
    limited = data.limited(2)
    counts = [len(part) for part in (limited.edits, limited.first_edits, limited.locality)]
    assert counts == [2, 2, 2] and set(limited.edits) < set(EDITS)
    assert (limited.limit, limited.questions.limit, limited.forget) == (2, 2, ("a", "b", "c"))


def test_an_intervention_with_calibration_texts_of_its_own_sees_them() -> None:
    data = Data("own", calibration=("a",), calibration_of=(("awq", ("b", "c")),))
    assert data.seen_by("wanda") is data
    seen = data.seen_by("awq")
    assert (seen.calibration, seen.calibration_of) == (("b", "c"), ())


def test_a_step_gets_one_batch_of_edits_which_the_data_must_have() -> None:
    alone = Data("own", EDITS)
    assert alone.with_batch(0).edits == EDITS
    several = Data(
        "own", EDITS, first_edits=EDITS[:1], edit_batches=((1, EDITS[:1]), (4, EDITS[1:]))
    )
    later = several.with_batch(4)
    assert (later.edits, later.first_edits, later.edit_batches) == (EDITS[1:], (), ())
    for data, batches in ((alone, "0"), (several, "1, 4")):
        with pytest.raises(InvalidInput) as error:
            data.with_batch(2)
        assert str(error.value) == (
            f"the run's data have the batches {batches} after the first, but not 2: a batch is read"
            " if a composition names it at the start of a run"
        )
