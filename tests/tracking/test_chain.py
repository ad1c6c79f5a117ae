"""Which steps and scores of a chain are loaded, and which are computed."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from interventions.composition import Composition
from interventions.criteria import references
from interventions.criteria.base import CRITERIA, Criterion, Scores
from interventions.criteria.cost import Cost
from interventions.data.base import Data
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking.chain import Chain
from tracking.checkpoints.integrity import sha256
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext
from tracking.settings import Settings


def answer_with(patch: pytest.MonkeyPatch, text: str) -> None:
    """Let every model answer prompts of locality with one text."""
    answering = [
        dataclasses.replace(reference, answers=lambda lm, data: (text,))
        for reference in references.REFERENCES
        if reference.part == "base_answers"
    ]
    patch.setattr(references, "REFERENCES", answering)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of two cheap criteria was measured; they replace all others."""
    counts = Counter[str]()

    def cheap(name: str, reads: frozenset[str], version: int = 1) -> Criterion:
        def function(lm: LM, data: Data) -> Scores:
            counts[name] += 1
            return Scores(float(counts[name]), 0.0, {"0": float(counts[name])})

        return Criterion(name, "higher", "share", version, reads, function)

    criteria = {
        "of_edits": cheap("of_edits", frozenset({"edits"})),
        "of_nothing": cheap("of_nothing", frozenset()),
    }
    monkeypatch.setattr(CRITERIA, "all", lambda: criteria)
    monkeypatch.setattr(CRITERIA, "get", criteria.__getitem__)
    answer_with(monkeypatch, "answer")
    return counts


@pytest.fixture
def asking(measured: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the two there is a criterion that reads the base model's answers."""
    criteria = dict(CRITERIA.all())
    reads = frozenset({"base_answers"})
    criteria["of_answers"] = dataclasses.replace(
        criteria["of_nothing"], name="of_answers", reads=reads
    )
    monkeypatch.setattr(CRITERIA, "all", lambda: criteria)


@pytest.fixture(scope="module")
def context() -> RunContext:
    return RunContext(Settings(checkpoints="none"))


def plan_of(context: RunContext, spec: str) -> Plan:
    return context.plan(Composition.parse(spec))


def test_scores_are_measured_once_per_checkpoint_and_data(
    measured: Counter[str], context: RunContext, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "none")
    first = Chain(plan, checkpoints).measure(0)
    assert Chain(plan, checkpoints).measure(0) == first
    assert measured == {"of_edits": 1, "of_nothing": 1}


def test_what_is_done_is_said_as_it_begins(
    measured: Counter[str], context: RunContext, tmp_path: Path
) -> None:
    for computed in (True, False):
        chain = Chain(plan_of(context, "magnitude"), Checkpoints(tmp_path))
        stages: list[str] = []
        chain.on_stage = stages.append
        chain.measure(0)
        chain.measure(1)
        measuring = ["measuring of_edits", "measuring of_nothing"]
        assert stages == ([*measuring, "applying magnitude", *measuring] if computed else [])


def test_a_criterion_is_measured_anew_on_other_data_that_it_reads(
    measured: Counter[str], context: RunContext, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "none")
    before, _ = Chain(plan, checkpoints).measure(0)
    fewer_edits = dataclasses.replace(plan.data, edits=plan.data.edits[:1])
    other_plan = dataclasses.replace(plan, data=fewer_edits)
    assert other_plan.keys == plan.keys
    after, _ = Chain(other_plan, checkpoints).measure(0)
    assert measured == {"of_edits": 2, "of_nothing": 1}
    assert after["of_edits"] != before["of_edits"]
    assert after["of_nothing"] == before["of_nothing"]


def test_a_criterion_of_another_version_is_measured_anew(
    measured: Counter[str],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "none")
    Chain(plan, checkpoints).measure(0)
    criteria = dict(CRITERIA.all())
    criteria["of_nothing"] = dataclasses.replace(criteria["of_nothing"], version=2)
    monkeypatch.setattr(CRITERIA, "all", lambda: criteria)
    monkeypatch.setattr(CRITERIA, "get", criteria.__getitem__)
    Chain(plan, checkpoints).measure(0)
    assert measured == {"of_edits": 1, "of_nothing": 2}


def test_scores_of_one_checkpoint_are_not_those_of_another(
    measured: Counter[str], context: RunContext, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude")
    chain = Chain(plan, checkpoints)
    base, _ = chain.measure(0)
    final, _ = chain.measure(1)
    assert base != final
    assert chain.final_scores == final
    assert Chain(plan, checkpoints).measure(0)[0] == base
    assert Chain(plan, checkpoints).measure(1)[0] == final
    assert measured == {"of_edits": 2, "of_nothing": 2}


def test_a_stored_prefix_is_loaded_and_the_rest_applied(
    context: RunContext, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    whole = Chain(plan_of(context, "magnitude | rtn"), checkpoints)
    weights = whole.model_after(2).fingerprint()
    assert (whole.steps_applied, whole.steps_reused) == (2, 0)
    longer = Chain(plan_of(context, "magnitude | rtn | magnitude(sparsity=0.75)"), checkpoints)
    longer.model_after(3)
    assert (longer.steps_applied, longer.steps_reused, longer.position) == (1, 2, 3)
    assert longer.cost_of_step(1) == whole.cost_of_step(1)
    assert longer.model_after(2).fingerprint() == weights
    longer.model_after(1)
    assert (longer.steps_reused, longer.position) == (2, 1)
    assert set(whole.seconds) >= {"apply", "save", "load"}


def test_only_checkpoints_worth_it_are_stored_and_a_folder_that_is_asked_for(
    context: RunContext, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude | rtn")
    chain = Chain(plan, checkpoints, keep=lambda key: key == plan.keys[1])
    chain.model_after(2)
    assert [key in checkpoints for key in plan.keys] == [False, True, False]
    folder = chain.checkpoint_folder(2)
    assert folder == checkpoints.path(plan.keys[2])
    assert plan.keys[2] in checkpoints
    assert LM.load(folder).fingerprint() == chain.model_after(2).fingerprint()


def test_a_recompression_is_stored_where_the_last_planned_step_is(
    context: RunContext, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    plan = plan_of(context, "magnitude | ft(steps=2)")
    chain = Chain(plan, checkpoints, keep=lambda key: key == plan.keys[2])
    assert chain.may_recompress()
    assert [step.name for step in chain.recompress()] == ["magnitude"]
    assert [step.name for step in chain.steps] == ["magnitude", "ft", "magnitude"]
    assert len(chain.keys) == 4 and chain.keys[:3] == plan.keys
    chain.model_after(3)
    assert [key in checkpoints for key in chain.keys] == [False, False, True, True]


@pytest.mark.parametrize(("recompress", "rounds"), [("auto", 2), ("paper", 1)])
def test_what_is_measured_is_measured_again_after_a_recompression(
    recompress: str, rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was applied again may have cost another its property."""
    context = RunContext(Settings(recompress=recompress))
    lost = Composition.parse("magnitude")
    monkeypatch.setattr(Composition, "recompression", lambda self, lm, mode: lost)
    chain = Chain(plan_of(context, "magnitude"), Checkpoints(tmp_path))
    assert [step.name for step in chain.recompress()] == ["magnitude"] * rounds
    assert len(chain.steps) == 1 + rounds
    assert chain.keys == plan_of(context, " | ".join(["magnitude"] * (1 + rounds))).keys


def test_recompressions_come_on_top_of_the_most_steps_that_are_planned(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Composition.parse("magnitude")
    monkeypatch.setattr(Composition, "recompression", lambda self, lm, mode: lost)
    monkeypatch.setattr(Chain, "model_after", lambda self, k: None)
    chain = Chain(plan_of(context, " | ".join(["magnitude", *["ft"] * 99])), Checkpoints(tmp_path))
    assert len(chain.recompress()) == 2
    assert len(chain.steps) == 102 and len(set(chain.keys)) == 103


@pytest.mark.parametrize(
    ("spec", "recompress", "expected"),
    [("ft", "auto", False), ("rtn | ft", "auto", True), ("rtn | ft", "never", False)],
)
def test_only_compressions_may_be_applied_again(
    spec: str, recompress: str, expected: bool, tmp_path: Path
) -> None:
    context = RunContext(Settings(recompress=recompress))
    assert Chain(plan_of(context, spec), Checkpoints(tmp_path)).may_recompress() is expected


def test_a_checkpoint_that_the_cache_has_no_room_for_has_no_folder_there(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "save", lambda *arguments: None)
    chain = Chain(plan_of(context, "magnitude"), Checkpoints(tmp_path))
    assert chain.checkpoint_folder(1) is None


def test_the_base_models_answers_are_stored_per_locality_data(
    asking: None,
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "none")
    assert Chain(plan, checkpoints).data.base_answers == ("answer",)
    answer_with(monkeypatch, "another")
    assert Chain(plan, checkpoints).data.base_answers == ("answer",)
    fewer = dataclasses.replace(plan.data, locality=plan.data.locality[:1])
    other_plan = dataclasses.replace(plan, data=fewer)
    assert Chain(other_plan, checkpoints).data.base_answers == ("another",)


def test_the_base_model_is_stored_as_costing_nothing(context: RunContext, tmp_path: Path) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "none")
    folder = Chain(plan, checkpoints).checkpoint_folder(0)
    assert folder == checkpoints.path(plan.keys[0])
    assert checkpoints.cost(plan.keys[0]) == Cost(0.0, 0.0)


def test_a_checkpoint_is_verified_before_it_is_logged(context: RunContext, tmp_path: Path) -> None:
    """Its scores may be stored, so that nothing else has loaded it."""
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude")
    folder = Chain(plan, checkpoints).checkpoint_folder(1)
    assert folder is not None
    checksum = sha256(folder / "model.safetensors")
    flip_last_byte(folder / "model.safetensors")
    with pytest.warns(UserWarning, match="is damaged"):
        folder = Chain(plan, checkpoints).checkpoint_folder(1)
    assert folder is not None and sha256(folder / "model.safetensors") == checksum


def test_answers_of_another_form_are_asked_for_again(
    asking: None, context: RunContext, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "none")
    identity = ["base_answers", 2, plan.data.identity("locality")]
    for odd in (3, {"a": 1}, ["text", 1]):
        checkpoints.values.save(plan.keys[0], identity, odd)
        assert Chain(plan, checkpoints).data.base_answers == ("answer",)


def test_the_base_model_is_asked_nothing_where_no_criterion_reads_its_answers(
    measured: Counter[str], context: RunContext, tmp_path: Path
) -> None:
    chain = Chain(plan_of(context, "none"), Checkpoints(tmp_path))
    assert chain.data.base_answers is None and chain.lm is None


def test_what_a_step_showed_is_found_again_where_it_was_lost(
    context: RunContext, tmp_path: Path
) -> None:
    """A damaged file of the cache; without it a run had no hash of its weights."""
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude | rtn")
    chain = Chain(plan, checkpoints)
    chain.model_after(2)
    before = [chain.facts_of_step(k) for k in (1, 2)]
    for path in checkpoints.values.folder.iterdir():
        path.unlink()
    again = Chain(plan, checkpoints)
    assert [again.facts_of_step(k) for k in (1, 2)] == before
    assert before[1].weights and before[1].changed


def test_what_measuring_cost_is_the_most_that_any_of_its_passes_did(
    measured: Counter[str], context: RunContext, tmp_path: Path
) -> None:
    chain = Chain(plan_of(context, "none"), Checkpoints(tmp_path))
    for entry, spent in zip(
        chain.plan.criteria, (Cost(3.0, 1.0, 0.5), Cost(2.0, 4.0, 0.75)), strict=True
    ):
        identity, scores = entry.identity(chain.data), Scores(0.5, 0.0, {"0": 0.5})
        chain.checkpoints.values.save_scores(chain.keys[0], identity, scores, spent)
    _, total = chain.measure(0)
    assert (total.seconds, total.peak_gib, total.step_gib) == (3.0, 4.0, 0.75)


def test_a_model_in_memory_goes_on_unless_a_step_ahead_is_stored(
    context: RunContext, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude | rtn")
    chain = Chain(plan, checkpoints)
    assert chain.position == -1
    first = chain.model_after(1)
    Chain(plan, checkpoints).model_after(2)
    assert chain.model_after(1) is first
    chain.model_after(2)
    assert (chain.steps_applied, chain.position) == (1, 2)
