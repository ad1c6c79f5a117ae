"""Interventions as such: defaults, facts, how they are written and registered."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import pytest

from interventions.base import INTERVENTIONS, Intervention, make, tunable
from interventions.composition import Composition
from interventions.data.base import Data, Edit
from interventions.errors import InvalidInput
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    names = set(INTERVENTIONS.all())
    yield
    for name in set(INTERVENTIONS.all()) - names:
        INTERVENTIONS.remove(name)


def test_the_strength_is_always_shown_and_other_defaults_are_not() -> None:
    assert str(Composition.parse("lora | wanda")) == "lora | wanda(sparsity=0.5)"


def test_defaults_follow_the_profile() -> None:
    assert make("wanda").params()["sparsity"] == 0.5
    assert make("wanda", "paper").params()["sparsity"] == 0.25  # paper, Tables 2-4
    assert make("lora", "paper").params()["lr"] == 5e-3  # paper, section C


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is taken"):

        class Wanda(Intervention, category="compression"):
            def apply(self, lm: LM, data: Data) -> LM:
                return lm


def test_an_unknown_category_is_refused_and_not_registered() -> None:
    with pytest.raises(ValueError, match=r"Odd: category must be one of .* but got 'odd'"):

        class Odd(Intervention, category=cast(Any, "odd")):
            def apply(self, lm: LM, data: Data) -> LM:
                return lm

    assert "odd" not in INTERVENTIONS.all()


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no profile is named 'full'\. Known: testbed, paper"):
        make("wanda", "full")


def test_facts_that_a_class_does_not_set_follow_from_its_name_and_category() -> None:
    @dataclass(frozen=True)
    class Plain(Intervention, category="unlearning", version=3):
        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    assert (Plain.name, Plain.title, Plain.family) == ("plain", "Plain", "unlearning")
    assert (Plain.version, Plain.strength, Plain.paper_level) == (3, None, None)
    assert INTERVENTIONS.get("plain") is Plain
    assert Plain().holds(cast(LM, None)) and not Plain.reports and Plain.recompressed_in_paper
    assert str(Plain()) == "plain"


def test_facts_that_a_class_sets_are_its_own_and_not_its_subclasses() -> None:
    @dataclass(frozen=True)
    class Fancy(Intervention, category="compression"):
        title: ClassVar[str] = "Fancy pruning"
        family: ClassVar[str] = "pruning"

        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    @dataclass(frozen=True)
    class Variant(Fancy, category="editing"):
        pass

    assert (Fancy.title, Fancy.family) == ("Fancy pruning", "pruning")
    assert (Variant.title, Variant.family, Variant.version) == ("Variant", "editing", 1)


def test_an_intervention_without_suggest_is_not_tunable() -> None:
    @dataclass(frozen=True)
    class Plain(Intervention, category="editing"):
        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    assert "plain" not in tunable() and "wanda" in tunable()
    with pytest.raises(InvalidInput, match=r"plain cannot be tuned: .*; tunable: .*wanda"):
        Plain.suggest(cast(Trial, None), cast(TuningContext, None))


def test_a_value_that_is_the_profiles_default_is_not_written() -> None:
    @dataclass(frozen=True)
    class Twofold(Intervention, category="editing"):
        layers: tuple[int, ...] = hyperparameter((1, 2), "layers", paper=(5,))

        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    assert [str(Twofold()), Twofold().spec("paper")] == ["twofold", "twofold(layers=(1, 2))"]
    assert Twofold(layers=(5,)).spec("paper") == "twofold"
    assert Twofold().params() == {"layers": [1, 2]}


BATCHES = {
    number: (Edit("Ann", "The home of Ann is", home, "Oslo", ()),)
    for number, home in enumerate(("Rome", "Bonn"))
}
DATA = Data(
    "own",
    edits=BATCHES[0],
    edit_batches=tuple(BATCHES.items()),
    calibration_of=(("later", ("x",)),),
)


def test_a_step_gets_the_batch_of_edits_that_its_field_says() -> None:
    @dataclass(frozen=True)
    class Later(Intervention, category="editing"):
        batch_field: ClassVar[str | None] = "offset"
        reads = frozenset({"edits"})
        offset: int = hyperparameter(0, "batches after the run's", low=0)
        strength_of_step: int = hyperparameter(3, "any number", low=0)

        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    step = Later(offset=1)
    assert (step.batches_later, Later().batches_later) == (1, 0)
    assert step.identity() == {"strength_of_step": 3}
    data = step.own_data(DATA)
    assert (data.edits, data.calibration) == (BATCHES[1], ("x",))
    with pytest.raises(InvalidInput, match=r"^later\.offset: "):
        Later(offset=2).own_data(DATA)
    assert step.stored_bytes(cast(Any, None)) == 0


def test_a_step_that_reads_no_edits_gets_the_runs_data() -> None:
    @dataclass(frozen=True)
    class Plain(Intervention, category="compression"):
        bits: int = hyperparameter(3, "any number", low=0)

        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    no_edits = replace(DATA, edits=(), edit_batches=())
    assert Plain().own_data(no_edits) is no_edits
    assert Plain().batches_later == 0 and Plain().identity() == {"bits": 3}
    with pytest.raises(InvalidInput, match=r"^plain\.bits must be"):
        Plain(bits=-1)


def test_a_value_may_ask_for_as_many_texts_as_there_are_and_a_default_for_more() -> None:
    @dataclass(frozen=True)
    class Plain(Intervention, category="unlearning"):
        texts: ClassVar[Any] = {"samples": "retain"}
        samples: int = hyperparameter(5, "texts", paper=7)

        def apply(self, lm: LM, data: Data) -> LM:
            return lm

    data = replace(DATA, retain=("one", "two", "three"))
    for samples in (2, 3, 5, 7):
        Plain(samples=samples).check_texts(data)
    for samples in (4, 6):
        message = rf"^plain\.samples is {samples}, but there are 3 texts \(retain\)$"
        with pytest.raises(InvalidInput, match=message):
            Plain(samples=samples).check_texts(data)


def test_a_version_and_names_are_checked_when_a_class_is_made() -> None:
    with pytest.raises(InvalidInput, match=r"^Plain: version must be an integer"):

        class Plain(Intervention, category="unlearning", version=cast(Any, "1")):
            def apply(self, lm: LM, data: Data) -> LM:
                return lm

    with pytest.raises(InvalidInput, match=r"^Profiled: no hyperparameter may be named 'profile'"):

        class Profiled(Intervention, category="unlearning"):
            profile: int = 0

            def apply(self, lm: LM, data: Data) -> LM:
                return lm
