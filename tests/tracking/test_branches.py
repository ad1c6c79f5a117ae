"""Branches of a run share their checkpoints with plain compositions, and come back from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from interventions.composition import Composition, computed_branches
from interventions.lm import LM
from tests.sweeps.grid.conftest import Applied
from tests.sweeps.small_testbed import use_small_testbed
from tracking import schema, store
from tracking.branches import branch_keys
from tracking.chain import Chain
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.costs.planning import plan_of
from tracking.plan import Plan, RunContext, plan_run
from tracking.run import run
from tracking.settings import Settings

FT, GA = "ft(steps=1)", "ga(samples=4)"
SETTINGS = Settings(device="cpu", checkpoints="none")


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        use_small_testbed(patch)
        yield


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Applied:
    return Applied(monkeypatch)


@pytest.fixture
def cache(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "cache")


def plan_for(text: str) -> Plan:
    return plan_run(text, SETTINGS)


def weights_after(text: str, cache: Checkpoints) -> str:
    chain = Chain(plan_for(text), cache)
    return chain.model_after(len(chain.steps)).fingerprint()


def recorded(run_id: str) -> Run:
    return mlflow.MlflowClient(store.uri()).get_run(run_id)


def test_the_key_of_a_merge_depends_on_all_of_its_branches_and_on_what_is_before() -> None:
    keys = {
        plan_for(text).keys[-1]
        for text in (
            f"merge({FT}, {GA})",
            f"merge({GA}, {FT})",
            f"merge({FT}, ga(samples=5))",
            f"merge(ft(steps=2), {GA})",
            f"merge({FT}, {GA}, weights=(1, 0.5))",
            f"merge({FT}, {GA}, how='ties')",
            f"merge({FT}, {GA}, how='ties', density=0.3)",
            f"merge({FT}, {GA}, how='dare')",
            f"merge({FT} | {GA}, {GA})",
            f"magnitude | merge({FT}, {GA})",
        )
    }
    assert len(keys) == 10
    context = RunContext(SETTINGS)
    steps = Composition.parse(f"merge({FT}, {GA})")
    batches = [context.for_replicate(0, batch).plan(steps).keys[-1] for batch in (0, 1)]
    assert batches[0] != batches[1]  # a branch reads the edits


def test_a_branch_has_the_keys_of_the_plain_composition() -> None:
    merge = plan_for(f"magnitude | merge({FT} | {GA}, merge({GA}, {FT}))")
    plain = plan_for(f"magnitude | {FT} | {GA}")
    second, inner = plan_for(f"magnitude | {GA}"), plan_for(f"magnitude | merge({GA}, {FT})")
    assert set(branch_keys(merge)) == {*plain.keys[2:], second.keys[-1], inner.keys[-1]}
    assert plain.keys[:2] == merge.keys[:2]
    assert branch_keys(plain) == []


def test_what_a_branch_has_in_common_with_a_plain_composition_is_computed_once(
    cache: Checkpoints, applied: Applied
) -> None:
    weights_after(f"{FT} | {GA}", cache)
    assert len(applied.keys) == 2
    weights_after(f"merge({FT} | {GA}, {GA}, weights=(1, 0.5))", cache)
    assert len(applied.keys) == 4  # ga alone, and the merge
    weights_after(f"merge({GA}, {FT} | {GA})", cache)
    assert len(applied.keys) == 5
    weights_after(GA, cache)
    assert len(applied.keys) == 5


@pytest.mark.parametrize("prefix", [pytest.param("", marks=pytest.mark.slow), "magnitude | "])
def test_a_branch_is_the_plain_composition_bit_for_bit(prefix: str, cache: Checkpoints) -> None:
    """Seeded as it is, so that what was computed either way is the same: adapters are drawn."""
    branch = "lora(steps=2) | ft(steps=1)"
    merged = weights_after(f"{prefix}merge({branch}, {GA}, weights=(1, 0))", cache)
    assert merged == weights_after(f"{prefix}{branch}", Checkpoints(cache.folder / "empty"))
    # without a cache, from a model in memory, as tracked code does
    plan = plan_for(f"{prefix}{branch}")
    chain = Chain(plan_for(f"{prefix}merge({branch}, {GA})"), cache)
    before = chain.model_after(len(chain.steps) - 1)
    compute = computed_branches(chain.steps[-1], before, plan.data, chain.keys[-2])
    assert compute(0).fingerprint() == merged


@pytest.mark.parametrize("kills", [(3,), pytest.param(range(1, 7), marks=pytest.mark.slow)])
def test_a_merge_that_is_killed_goes_on_from_the_branches_that_were_done(
    cache: Checkpoints, applied: Applied, kills: Iterable[int]
) -> None:
    text = f"merge({FT} | {GA}, {GA}, merge({FT}, magnitude))"
    undisturbed = weights_after(text, Checkpoints(cache.folder / "undisturbed"))
    once = list(applied.keys)
    assert len(once) == len(set(once)) == 6
    for kill in kills:
        applied.keys.clear()
        place = Checkpoints(cache.folder / str(kill))

        def stop(name: str, count: int, kill: int = kill) -> None:
            if count == kill:
                raise KeyboardInterrupt

        applied.before = stop
        with pytest.raises(KeyboardInterrupt):
            weights_after(text, place)
        applied.before = lambda name, count: None
        assert weights_after(text, place) == undisturbed
        # the one that was killed is begun again; nothing else is
        assert sorted(applied.keys) == sorted([*once, once[kill - 1]])


def test_a_run_of_branches_is_recorded_and_restored(
    local_store: str, cache: Checkpoints, tmp_path: Path, applied: Applied
) -> None:
    text = f"magnitude(sparsity=0.3) | merge({FT}, rtn(bits=3), how='dare', weights=(1, -0.5))"
    run_id = run(text, device="cpu", cache=cache, recompress="never")
    params, tags = recorded(run_id).data.params, recorded(run_id).data.tags
    assert params["composition"].startswith("magnitude(sparsity=0.3) | merge(ft(steps=1), rtn(")
    assert (params["step1"], params["step2"], params["pair"]) == (
        "magnitude",
        "merge",
        "magnitude + merge",
    )
    assert params["merge.weights"] == "[1.0, -0.5]" and params["merge.drop"] == "0.5"
    assert params["ft.steps"] == "1" and params["rtn.bits"] == "3"
    assert '"category":"merging"' in tags[schema.ABOUT_INTERVENTIONS]
    datasets = recorded(run_id).inputs.dataset_inputs
    learned = [
        dataset for dataset in datasets if any("training" in tag.value for tag in dataset.tags)
    ]
    assert [dataset.dataset.name for dataset in learned] == ["testbed/edits"]
    applied.keys.clear()
    for place in (cache, Checkpoints(tmp_path / "empty")):
        folder = load_checkpoint(run_id, 2, tmp_path / f"of-{place.folder.name}", place)
        assert LM.load(folder).fingerprint() == tags[schema.WEIGHTS]
    # not logged whole: computed again, its branches too
    unlogged = run(text, device="cpu", cache=cache, recompress="never", checkpoints="none")
    again = load_checkpoint(unlogged, 2, tmp_path / "again", Checkpoints(tmp_path / "third"))
    assert LM.load(again).fingerprint() == tags[schema.WEIGHTS]


def test_what_a_branch_compressed_is_not_compressed_again_and_what_is_before_is(
    local_store: str, cache: Checkpoints
) -> None:
    settings = {"device": "cpu", "checkpoints": "none", "cache": cache}
    inside = recorded(run(f"merge(magnitude, {FT})", **settings))  # type: ignore[arg-type]
    assert inside.data.params["recompressed"] == "none"
    assert 0 < inside.data.metrics["sparsity"] < 0.5
    text = f"magnitude | merge({FT}, {GA})"
    outside = recorded(run(text, **settings))  # type: ignore[arg-type]
    assert outside.data.params["recompressed"] == "magnitude(sparsity=0.5)"
    assert outside.data.metrics["sparsity"] == pytest.approx(0.5, abs=1e-3)
    assert outside.info.run_name.endswith("→ again: magnitude")


def test_a_step_of_a_branch_that_changes_nothing_is_said(cache: Checkpoints) -> None:
    with pytest.warns(UserWarning, match=r"magnitude\(sparsity=0.0\), in a branch, changed no"):
        weights_after(f"merge({FT}, magnitude(sparsity=0))", cache)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights_after(f"merge({FT}, {GA})", cache)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"merge({FT}, ga(samples=99999))", "ga.samples is 99999, but there are"),
        (f"merge({FT}, rmu(layer=77))", "rmu.layer"),
        (f"merge({FT}, merge({GA}, rtn(group=7)))", "group"),
    ],
)
def test_what_does_not_fit_in_a_branch_is_refused_before_weights_are_loaded(
    text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        plan_for(text)


def test_a_branch_that_learns_from_what_the_data_lack_is_refused() -> None:
    import dataclasses

    context = RunContext(SETTINGS)
    context.data = dataclasses.replace(context.data, edits=())
    with pytest.raises(ValueError, match="ft learns from edits, of which"):
        context.plan(Composition.parse(f"merge({GA}, {FT})"))


def test_a_plan_counts_the_branches_models_seconds_and_checkpoints() -> None:
    settings = Settings(device="cpu", checkpoints="none", criteria="sparsity")
    texts = (f"merge({FT}, {GA}, how='ties')", FT, GA)
    merge, *branches = (plan_of(text, settings).steps[1] for text in texts)
    assert merge.reason == ""
    model = branches[0].disk_bytes
    assert merge.disk_bytes == 3 * model  # two branches' checkpoints, and its own
    assert merge.device_bytes and merge.device_bytes > 3 * model
    assert merge.seconds and all(merge.seconds > (branch.seconds or 0) for branch in branches)


def test_bars_within_brackets_and_quotes_end_no_step() -> None:
    """A file's name may have one, too."""
    text = """merge(lora | ft, rmu) | finetune(file='a | b') | merge(ft, ga(batch=2) | rmu)"""
    steps = ["merge(lora | ft, rmu)", "finetune(file='a | b')", "merge(ft, ga(batch=2) | rmu)"]
    assert schema.split_steps(text) == steps
    assert schema.split_steps(r"finetune(file='it\'s | ) so') | ft")[1:] == ["ft"]
    assert schema.split_steps("none") == ["none"]
