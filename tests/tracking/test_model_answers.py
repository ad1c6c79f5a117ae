"""Answers of other models: asked once, stored, loaded as the run says, and lost without loss."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interventions.composition import Composition
from interventions.data.testbed import MODEL, RETAIN_MODEL
from interventions.lm import LM
from tracking import model_answers
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext
from tracking.settings import Settings

NAMES = "forget_quality,flips,flips_kl,edit_preservation"


@pytest.fixture(scope="module")
def plan() -> Plan:
    context = RunContext(Settings(criteria=NAMES, limit=12, checkpoints="none"))
    return context.plan(Composition.parse("rtn(bits=2)"))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the models that are loaded, in order."""
    folders: list[str] = []
    load = LM.load

    def noted(source: Any, *arguments: Any, **settings: Any) -> LM:
        folders.append(str(source))
        return load(source, *arguments, **settings)

    monkeypatch.setattr(LM, "load", noted)
    return folders


def test_models_are_asked_once_and_what_they_said_is_stored(
    plan: Plan, loaded: list[str], tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    chain = Chain(plan, checkpoints)
    scores, _ = chain.measure(1)
    # the other model before the base model: they are not in memory together
    assert loaded == [str(RETAIN_MODEL), str(MODEL)]
    assert set(scores) == set(NAMES.split(","))
    assert scores["forget_quality"].value < 1 and scores["flips"].value > 0
    again = Chain(plan, checkpoints)
    assert again.data.retain_choices == chain.data.retain_choices
    assert again.data.base_choices == chain.data.base_choices
    assert repr(again.measure(1)[0]) == repr(scores) and again.lm is None  # NaN is not NaN
    assert len(loaded) == 2


def test_a_model_that_cannot_be_asked_costs_only_what_reads_its_answers(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model = model_answers.load_model

    def fails(plan: Plan, source: str = "") -> LM:
        if source:
            raise OSError("no such weights")
        return load_model(plan)

    monkeypatch.setattr(model_answers, "load_model", fails)
    chain = Chain(plan, Checkpoints(tmp_path))
    with pytest.warns(UserWarning) as noted:
        scores, _ = chain.measure(1)
    first, second = (str(warning.message) for warning in noted)
    assert first.endswith("model-without-forget failed: OSError: no such weights")
    assert second.startswith("criterion forget_quality failed after step 1, and the rest")
    assert set(scores) == set(NAMES.split(",")) - {"forget_quality"}
    assert "needs data.retain_choices" in chain.failures[1]["forget_quality"]


def test_other_questions_are_asked_anew(plan: Plan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    context = RunContext(Settings(criteria="flips", limit=5, checkpoints="none"))
    fewer = context.plan(Composition.parse("none"))
    (of_fewer, of_plan) = (
        Chain(each, checkpoints).data.base_choices or () for each in (fewer, plan)
    )
    assert (len(of_fewer), len(of_plan)) == (5, 12)


def test_another_model_is_asked_anew(plan: Plan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    settings = Settings(criteria="forget_quality", limit=12, checkpoints="none")
    known = RunContext(settings).plan(Composition.parse("none"))
    other = replace(known, data=replace(known.data, retain_model=str(MODEL)))
    choices = [Chain(each, checkpoints).data.retain_choices for each in (known, other)]
    assert choices[0] != choices[1] and None not in choices


def test_the_base_model_has_the_plans_revision_and_another_model_its_newest(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[object, ...]] = []

    def noted(*arguments: object, **trust: bool) -> Any:
        loaded.append(arguments)
        assert trust == {"trust_remote_code": False, "allow_pickle": True}
        return SimpleNamespace()

    monkeypatch.setattr(LM, "load", noted)
    settings = replace(plan.settings, dtype="float16", device="cpu", allow_pickle=True)
    plan = replace(plan, settings=settings, source="somebody/model", revision="a1")
    base = model_answers.load_model(plan)
    model_answers.load_model(plan, "somebody/other")
    assert loaded == [
        ("somebody/model", "float16", "cpu", "a1"),
        ("somebody/other", "float16", "cpu", None),
    ]
    assert base.prompt_format is plan.prompt_format


def test_why_answers_failed_is_said_in_200_characters_at_most() -> None:
    context = RunContext(Settings(criteria="flips", limit=5, checkpoints="none"))
    flips = context.plan(Composition.parse("none"))
    for length, said in ((191, "x" * 191), (192, "x" * 190 + "…")):

        def fails(length: int = length) -> LM:
            raise OSError("x" * length)

        with pytest.warns(UserWarning, match=f"of the base model failed: OSError: {said}$"):
            data = model_answers.with_answers(flips, fails)
        assert data.base_choices is None
