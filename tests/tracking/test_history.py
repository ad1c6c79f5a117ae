"""What runs of earlier versions did not record."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from analysis.metrics.composability import point
from interventions.base import INTERVENTIONS
from interventions.composition import Composition
from tracking import history, query, schema, store
from tracking.house_facts import house_earlier
from tracking.versions import with_version

STATIC = {"gptq.static_groups": True, "gptq.true_sequential": False}


def log(spec: str, seed: int, value: float, *lacking: str, published: bool = False) -> None:
    """Log a run of a composition, without the params that end so."""
    steps = Composition.parse(spec)
    names = [step.name for step in steps]
    params = {
        schema.COMPOSITION: spec,
        schema.PAIR: schema.pair_name(names),
        **schema.step_params(names),
        **schema.hyperparameter_params(steps),
        "seed": str(seed),
        "edit_batch": "0",
    }
    client = MlflowClient()
    run_id = client.create_run(store.ensure_experiment(), run_name=spec).info.run_id
    kept = [Param(key, text) for key, text in params.items() if not key.endswith(lacking)]
    tags = [RunTag(schema.PUBLISHED, "Table 2")] if published else []
    client.log_batch(run_id, [Metric("mmlu", value, 0, 2)], kept, tags)
    client.set_terminated(run_id)


OLD = (".version", ".static_groups", ".true_sequential")


def test_a_run_states_the_version_of_each_intervention() -> None:
    params = schema.hyperparameter_params(Composition.parse("wanda | gptq | wanda"))
    versions = {name: cls.version for name, cls in INTERVENTIONS.all().items()}
    assert int(params["wanda.version"]) == int(params["wanda_2.version"]) == versions["wanda"]
    assert int(params["gptq.version"]) == versions["gptq"] >= 2


def test_a_run_states_each_hyperparameter_and_of_which_occurrence_of_its_step_it_is() -> None:
    steps = Composition.parse("magnitude(sparsity=0.5) | rtn(bits=3) | magnitude(sparsity=0.75)")
    params = schema.hyperparameter_params(steps)
    assert (params["magnitude.sparsity"], params["magnitude_2.sparsity"]) == ("0.5", "0.75")
    assert params["rtn.bits"] == "3"
    assert set(params) == {
        *(f"{name}.{key}" for name in ("magnitude", "magnitude_2") for key in steps[0].params()),
        *(f"rtn.{key}" for key in steps[1].params()),
        *(f"{name}.version" for name in ("magnitude", "magnitude_2", "rtn")),
    }


def test_a_hyperparameter_that_a_run_lacks_is_what_its_version_did(local_store: str) -> None:
    log("gptq(bits=4)", 0, 0.5, *OLD)
    log("gptq(bits=4)", 1, 0.5)
    log("ft", 0, 0.5, *OLD)
    rows = query.compositions().sort_values(["composition", "seed"]).to_dict("records")
    other, old, new = rows
    assert {name: old[name] for name in STATIC} == STATIC
    assert (new["gptq.static_groups"], new["gptq.true_sequential"]) == (False, True)
    assert (old["gptq.version"], new["gptq.version"]) == (1, INTERVENTIONS.get("gptq").version)
    assert other["ft.version"] == 1
    assert all(pd.isna(other[name]) for name in STATIC)


def test_what_the_paper_printed_is_of_no_version_of_ours(local_store: str) -> None:
    log("gptq(bits=4)", 0, 0.5, *OLD, published=True)
    log("gptq(bits=4)", 1, 0.5)
    runs = query.compositions()
    published = runs[runs.published.notna()]
    assert len(published) == 1 and published[[*STATIC, "gptq.version"]].isna().all(axis=None)


def test_runs_of_two_versions_are_no_replicates_and_others_are(local_store: str) -> None:
    static = "gptq(bits=4, static_groups=True, true_sequential=False)"
    for spec in (f"ft | {static}", f"{static} | ft"):
        log(spec, 0, 0.5)
        log(spec, 1, 0.5)
        log(spec, 0, 0.9, "gptq.version")  # as version 1 did
    points = point(query.compositions(), ["mmlu"])
    assert sorted(points.replicates) == [1, 2]
    assert sorted(points.forward) == [0.5, 0.9]
    assert {"version=1", f"version={INTERVENTIONS.get('gptq').version}"} == {
        part
        for variant in points.partner_variant
        for part in variant.split(", ")
        if part.startswith("version")
    }


def test_runs_without_a_version_are_replicates_of_those_of_the_same_version(
    local_store: str,
) -> None:
    for spec in ("memit | rtn(bits=4)", "rtn(bits=4) | memit"):
        log(spec, 0, 0.5)
        log(spec, 1, 0.5)
        stated = {f"{name}.version": history.first_version(name) for name in ("memit", "rtn")}
        now = {f"{name}.version": INTERVENTIONS.get(name).version for name in ("memit", "rtn")}
        log(spec, 2, 0.5, *(param for param in stated if stated[param] == now[param]))
    runs = query.compositions()
    assert (runs["rtn.version"] == INTERVENTIONS.get("rtn").version).all()
    assert list(point(runs, ["mmlu"]).replicates) == [3]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_the_version_next_to_the_runs_says_what_it_did(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = {"odd": {3: {"width": 3, "depth": 1}, 1: {"width": 1}}}
    monkeypatch.setattr(history, "house_earlier", lambda: earlier)
    params = {"step1": "odd", "step2": "odd", "odd.version": version, "odd_2.version": 4}
    expected = {
        1: {"odd.width": 1, "odd.depth": 1},
        2: {"odd.width": 3, "odd.depth": 1},
        3: {"odd.width": 3, "odd.depth": 1},
        4: {},
    }
    assert history.earlier_hyperparameters(params) == expected[version]
    assert history.earlier_hyperparameters({**params, "odd.depth": 7}).get("odd.depth") is None


def test_a_metric_with_a_dot_and_a_version_that_is_none_are_left_alone() -> None:
    row = {"step1": "gptq", "gptq.bits": 4, "gptq.version": "new", "suite.score": 0.5}
    assert history.earlier_hyperparameters(row) == STATIC
    assert history.versions(row) == {}


def test_every_class_that_says_what_was_earlier_is_read_from_its_file(tmp_path: Path) -> None:
    registered = {name: cls.earlier for name, cls in INTERVENTIONS.all().items() if cls.earlier}
    assert house_earlier() == registered
    for name, earlier in registered.items():
        cls = INTERVENTIONS.get(name)
        for version, fields in earlier.items():
            # of the version itself, where a later hyperparameter changes no weights by default
            assert 1 <= version <= cls.version
            # as values that the class takes
            cls(**fields)
    (tmp_path / "editing").mkdir()
    (tmp_path / "editing" / "odd.py").write_text(
        'class Odd(Intervention, category="editing"):\n    earlier = {1: {"a": 2}}\n'
    )
    assert house_earlier(tmp_path) == {"odd": {1: {"a": 2}}}


def test_what_the_papers_data_were_read_from_is_said_of_earlier_runs_too(local_store: str) -> None:
    client = MlflowClient(local_store)
    stated = {"edits_from": "zsre_mend_train.json", "awq.calibration_from": "the Pile"}
    run_ids = []
    for said in ({}, stated):
        run_id = client.create_run(store.ensure_experiment()).info.run_id
        run_ids.append(run_id)
        params = {"composition": "ft | awq", "step1": "ft", "step2": "awq", "data": "paper", **said}
        client.log_batch(run_id, params=[Param(key, text) for key, text in params.items()])
    rows = query.compositions().set_index("run_id").loc[run_ids]
    assert list(rows["edits_from"]) == ["zsre_mend_eval.json", "zsre_mend_train.json"]
    assert list(rows["awq.calibration_from"]) == ["allenai/c4", "the Pile"]
    assert "awq.calibration_from" not in history.earlier_sources({"data": "paper", "step1": "ft"})


def test_a_run_that_states_no_version_is_of_those_that_ran_before_runs_stated_them() -> None:
    """Source: the classes of version 0.1.0 (commit 8b502a7), where Wanda alone was version 2."""
    names = (*INTERVENTIONS.all(), "wanda_2", "unknown")
    first_versions = {name: history.first_version(name) for name in names}
    assert first_versions == dict.fromkeys(names, 1) | {"wanda": 2, "wanda_2": 2}


def test_a_name_that_ends_in_a_number_is_an_interventions_own_or_its_second_use() -> None:
    params = {"step1": "wanda", "step2": "wanda", "wanda.sparsity": 1, "wanda_2.sparsity": 1}
    assert history.versions(params) == {"wanda.version": 2, "wanda_2.version": 2}
    assert history.versions({"step1": "mine_2", "mine_2.x": 1}) == {"mine_2.version": 1}
    assert history.versions({"step1": "mine", "used.dtype": 1}) == {}


def test_only_a_version_that_is_not_todays_explains_another_key() -> None:
    current = with_version("data", "testbed")
    assert current != "testbed"
    unexplained = "model, data or versions are others"
    for data in (current, "ours.yaml", "paper"):
        assert history.what_differs({"data": data}) == unexplained
    assert history.what_differs({"data": "testbed@1"}) == (
        f"its data was testbed@1, which is {current}"
    )
