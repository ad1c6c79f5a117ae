"""What version 0.1.0 recorded is read, restored and analysed as version 0.1.0 did."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.inference.recommend import recommend
from analysis.metrics.composability import area, point
from interventions.errors import InvalidInput
from tests.old_store import SHIPPED, unpack
from tracking import query, store
from tracking.catalogue import Catalogue, house_criteria, house_interventions
from tracking.checkpoints import load_checkpoint, recorded_runs
from tracking.checkpoints.integrity import sha256
from tracking.checkpoints.store import Checkpoints
from tracking.model_card import model_card
from tracking.run_summary import run_summary


def on_version_1(value: Any) -> Any:
    """Return what version 0.1.0 read with the version of the testbed, of which it knew one."""
    if isinstance(value, dict):
        return {key: on_version_1(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [on_version_1(entry) for entry in value]
    if isinstance(value, str):
        return re.sub(r"(^|model=|data=)testbed(?=$|,)", r"\1testbed@1", value)
    return value


EXPECTED: dict[str, Any] = on_version_1(json.loads((SHIPPED / "expected.json").read_text()))
# columns of settings and hyperparameters that version 0.1.0 had not got
READ_ANEW = {
    "trust_remote_code",
    "window",
    "gptq.static_groups",
    "gptq.true_sequential",
    "memit.tokens_per_input",
    "memit.statistics",
    "memit.batch_offset",
    "magnitude.samples",
    *(
        f"{pruner}.{field}"
        for pruner in ("magnitude", "wanda", "sparsegpt")
        for field in ("allocation", "outlier_threshold", "allocation_range")
    ),
}
LOGGED = [
    (run_id, int(step)) for run_id, steps in EXPECTED["checkpoints"].items() for step in steps
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old").resolve()
    unpack(folder)
    return folder


@pytest.fixture(autouse=True)
def old_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    yield


def plain(value: Any, folder: Path) -> Any:
    """Return a value as expected.json has it."""
    if isinstance(value, tuple | list):
        return [plain(element, folder) for element in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if value is None or value is pd.NA:
        return "nan"
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, str):
        text = value.replace(folder.as_uri(), "file://{STORE}")
        return text.replace(str(folder / "model"), "{MODEL}").replace(str(folder), "{STORE}")
    return value.item() if hasattr(value, "item") else value


def rows_of(frame: pd.DataFrame, folder: Path) -> list[dict[str, Any]]:
    records = frame.astype(object).to_dict("records")
    return [{str(key): plain(value, folder) for key, value in row.items()} for row in records]


@pytest.mark.parametrize("experiment", EXPECTED["compositions"])
def test_compositions_have_the_columns_and_values_of_before(experiment: str, folder: Path) -> None:
    expected = EXPECTED["compositions"][experiment]
    frame = query.compositions(experiment)
    assert set(expected["columns"]) <= set(frame.columns)
    assert set(frame.columns) - set(expected["columns"]) <= READ_ANEW
    assert rows_of(frame[expected["columns"]], folder) == [
        {column: row[column] for column in expected["columns"]} for row in expected["rows"]
    ]


def test_pruning_of_before_took_the_same_from_every_block() -> None:
    runs = query.compositions("composability")
    is_wanda = runs["wanda.sparsity"].notna()
    assert is_wanda.any() and runs["wanda.allocation"][is_wanda].eq("uniform").all()
    assert runs["wanda.allocation"][~is_wanda].isna().all()


def test_what_gptq_had_not_got_is_read_as_what_it_did() -> None:
    runs = query.compositions("composability")
    is_gptq = runs["gptq.bits"].notna()
    assert is_gptq.any() and not is_gptq.all()
    assert runs["gptq.static_groups"][is_gptq].eq(True).all()
    assert runs["gptq.true_sequential"][is_gptq].eq(False).all()
    assert runs["gptq.static_groups"][~is_gptq].isna().all()


def test_items_have_the_sums_of_before() -> None:
    run_ids = list(EXPECTED["items"])
    items_of_run = dict(list(query.items(run_ids, last=False).groupby("run_id")))
    for run_id, expected in EXPECTED["items"].items():
        items = items_of_run[run_id]
        last = items[items.step == items.step.max()]
        assert len(items) == expected["rows"]
        assert (last.step.iloc[0], len(last)) == (expected["last_step"], expected["last_rows"])
        sums = {str(name): math.fsum(scores) for name, scores in last.groupby("criterion").score}
        assert sums == pytest.approx({name: float(text) for name, text in expected["sums"].items()})


@pytest.mark.parametrize(("run_id", "step"), LOGGED)
def test_logged_checkpoints_come_back_byte_for_byte(run_id: str, step: int, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=f"run {run_id} recorded no checksum of step {step}"):
        whole = load_checkpoint(run_id, step, tmp_path / "whole", Checkpoints(tmp_path / "empty"))
    expected = EXPECTED["checkpoints"][run_id][str(step)]["sha256"]
    assert sha256(whole / "model.safetensors") == expected


@contextmanager
def recorded_under_another_key(run_id: str) -> Iterator[tuple[str, str]]:
    """As if the code of then and that of now led to different checkpoints."""
    client = MlflowClient(store.uri())
    key, other_key = client.get_run(run_id).data.tags["composability.key"], "0" * 32
    client.set_tag(run_id, "composability.key", other_key)
    try:
        yield key, other_key
    finally:
        client.set_tag(run_id, "composability.key", key)


@pytest.mark.parametrize("run_id", EXPECTED["recomputed"])
def test_what_the_code_of_now_would_compute_differently_is_refused_in_one_line(
    run_id: str, tmp_path: Path
) -> None:
    """Every method's version was raised since: what was not logged cannot be had again."""
    recorded_key = MlflowClient(store.uri()).get_run(run_id).data.tags["composability.key"]
    with pytest.raises(InvalidInput, match="cannot be computed again") as refusal:
        load_checkpoint(run_id, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    line = str(refusal.value)
    assert "\n" not in line
    assert run_id in line and recorded_key in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("run_id", "step"), LOGGED)
def test_what_was_logged_comes_back_also_under_changed_code(
    run_id: str, step: int, tmp_path: Path
) -> None:
    expected = EXPECTED["checkpoints"][run_id][str(step)]["sha256"]
    warned = pytest.warns(UserWarning, match="recorded no checksum")
    with recorded_under_another_key(run_id), warned:
        whole = load_checkpoint(run_id, step, tmp_path / "whole", Checkpoints(tmp_path / "empty"))
    assert sha256(whole / "model.safetensors") == expected


def test_a_run_of_before_there_were_splits_is_restored_on_the_test_split(tmp_path: Path) -> None:
    run = MlflowClient(store.uri()).get_run(next(iter(EXPECTED["recomputed"])))
    keys = recorded_runs.chain_of_run(run, Checkpoints(tmp_path)).keys
    del run.data.params["split"]
    chain = recorded_runs.chain_of_run(run, Checkpoints(tmp_path))
    assert chain.plan.settings.split == "test"
    assert chain.keys == keys


def criteria_of(expected: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["criterion"] for row in expected))


def assert_rows(frame: pd.DataFrame, expected: list[dict[str, Any]], folder: Path) -> None:
    rows = rows_of(frame, folder)
    assert len(rows) == len(expected)
    for row, expected_row in zip(rows, expected, strict=True):
        for column, value in expected_row.items():
            assert row[column] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize("experiment", EXPECTED["analysis"])
def test_points_and_areas_are_those_of_before(experiment: str, folder: Path) -> None:
    expected, runs = EXPECTED["analysis"][experiment], query.compositions(experiment)
    points = point(runs, criteria=criteria_of(expected["point"]))
    assert_rows(points, expected["point"], folder)
    # areas of perplexity have been those of its logarithm since
    shares = [row["criterion"] != "wikitext_ppl" for row in expected["area"]]
    areas = area(points)
    assert list(areas.criterion) == [row["criterion"] for row in expected["area"]]
    assert_rows(areas[shares], list(itertools.compress(expected["area"], shares)), folder)


@pytest.mark.parametrize("experiment", EXPECTED["analysis"])
def test_recommendations_are_those_of_before(experiment: str, folder: Path) -> None:
    runs = query.compositions(experiment)
    for pair, expected in EXPECTED["analysis"][experiment]["recommend"].items():
        for variant, values in expected.items():
            items = query.items(runs, missing="skip") if variant == "with_items" else None
            recommendation = recommend(runs, pair, items=items)
            # weights and tests are others since
            for name in ("order", "replicates"):
                recommended = plain(getattr(recommendation, name), folder)
                assert recommended == values[name], (pair, variant, name)


def test_old_tags_lead_to_the_facts_of_now() -> None:
    for experiment in EXPECTED["compositions"]:
        runs = query.compositions(experiment)
        assert "group" not in "".join(runs.about_interventions.dropna().unique())
        catalogue = Catalogue.from_runs(runs)
        assert catalogue.interventions == house_interventions()
        assert catalogue.criteria == house_criteria()


def test_a_runs_summary_and_card_know_the_facts_that_version_0_1_recorded() -> None:
    frame = query.compositions("composability", "attributes.status = 'FINISHED'")
    run_id = frame[frame.about_criteria.notna() & frame.edit_success.notna()].run_id.iloc[0]
    summary = run_summary(run_id)
    assert summary.criteria["edit_success"].better == "higher"
    assert all(category for category in summary.categories) and summary.categories
    names = [step.name.partition("(")[0] for step in summary.steps[1:]]
    card = model_card(store.client().get_run(run_id), len(names), "as it was", names)
    assert re.search(r"\| edit_success +\| higher ", card)
