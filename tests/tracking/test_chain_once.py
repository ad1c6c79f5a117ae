"""What a chain does once: beside other processes, between two steps, with the cache's files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from interventions.base import Intervention
from interventions.base_model import load_base_model
from interventions.composition import Composition
from interventions.lm import LM
from tracking import chain as module
from tracking.chain import Chain
from tracking.checkpoints.integrity import sha256
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext
from tracking.settings import Settings


@pytest.fixture(scope="module")
def context() -> RunContext:
    return RunContext(Settings(checkpoints="none", criteria="sparsity"))


def plan_of(context: RunContext, spec: str) -> Plan:
    return context.plan(Composition.parse(spec))


def claims_of(
    checkpoints: Checkpoints, patch: pytest.MonkeyPatch, meanwhile: Callable[[], object]
) -> list[str]:
    """Let a cache wait for all that is claimed while somebody else is busy; return the claims."""
    claimed: list[str] = []

    @contextmanager
    def claim(key: str) -> Iterator[bool]:
        claimed.append(key)
        meanwhile()
        yield True

    patch.setattr(checkpoints, "claim", claim)
    return claimed


def test_scores_that_another_process_measured_meanwhile_are_read(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude")
    another = Chain(plan, Checkpoints(tmp_path))
    claimed = claims_of(checkpoints, monkeypatch, lambda: another.measure(1))
    chain = Chain(plan, checkpoints)
    assert chain.measure(1)[0] == another.scores[1]
    assert claimed == [f"{plan.keys[1]}-scores"] and chain.lm is None


def test_a_step_that_another_process_applied_meanwhile_is_loaded(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude")
    another = Chain(plan, Checkpoints(tmp_path))
    claims_of(checkpoints, monkeypatch, lambda: another.model_after(1))
    chain = Chain(plan, checkpoints)
    weights = chain.model_after(1).fingerprint()
    assert (chain.steps_applied, chain.steps_reused, chain.position) == (0, 1, 1)
    assert weights == another.model_after(1).fingerprint()


def test_a_step_that_another_process_gave_up_is_applied(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, plan = Checkpoints(tmp_path), plan_of(context, "magnitude | rtn")
    claimed = claims_of(checkpoints, monkeypatch, lambda: None)
    chain = Chain(plan, checkpoints, keep=lambda key: key == plan.keys[1])
    chain.model_after(2)
    assert (chain.steps_applied, chain.position) == (2, 2)
    assert claimed == [plan.keys[1]]  # what is not to be stored, nobody can wait for


def test_a_checkpoint_of_this_process_is_not_read_again_for_its_folder(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    monkeypatch.setattr("tracking.checkpoints.integrity.sha256", counted)
    chain = Chain(plan_of(context, "magnitude"), Checkpoints(tmp_path))
    for _ in ("applied for it", "stored before"):
        assert chain.checkpoint_folder(1) == tmp_path / chain.keys[1]
        assert hashed == []


def test_a_step_without_effect_is_told_and_weights_are_hashed_once_between_two_steps(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    fingerprint = LM.fingerprint

    def counted(lm: LM) -> str:
        hashed.append(fingerprint(lm))
        return hashed[-1]

    monkeypatch.setattr(LM, "fingerprint", counted)
    monkeypatch.setattr(module, "apply", lambda step, lm, *rest: lm)
    chain = Chain(plan_of(context, "magnitude | rtn"), Checkpoints(tmp_path))
    chain.model_after(2)
    assert len(hashed) == 3 and len(set(hashed)) == 1
    assert [chain.facts_of_step(k).changed for k in (1, 2)] == [False, False]


def test_the_base_model_is_the_one_at_hand_before_the_first_step_and_loaded_after_it(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_hand: list[bool] = []

    def asking(step: Intervention, lm: LM, *rest: object) -> LM:
        at_hand.append(load_base_model(step.name) is lm)
        return lm

    monkeypatch.setattr(module, "apply", asking)
    Chain(plan_of(context, "magnitude | rtn"), Checkpoints(tmp_path)).model_after(2)
    assert at_hand == [True, False]


def test_seconds_of_an_activity_add_up(
    context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(plan_of(context, "none"), Checkpoints(tmp_path))
    clock = iter([10.0, 12.5, 20.0, 21.0, 30.0, 34.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    for activity in ("load", "save", "load"):
        with chain._timed(activity):
            pass
    assert chain.seconds == {"load": 6.5, "save": 1.0}
