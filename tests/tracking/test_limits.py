"""What `run`, the queries and the analysis refuse from Python, before a run is made."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.inference.recommend import recommend
from analysis.metrics.areas import area
from analysis.metrics.points import point
from analysis.report.request import read_analysis_request
from interventions import cache
from interventions.composition import Composition
from interventions.criteria.base import CRITERIA, criterion
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.item_scores import items
from tracking.plan import RunContext, plan_run
from tracking.query import compositions
from tracking.run import run
from tracking.settings import Settings

BAD: Mapping[str, Any] = {"better": "lower", "unit": "share"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"composition": 5}, "composition must be a Composition or a string, but got 5"),
        ({"composition": ["wanda"]}, "must be a Composition or a string, but got ['wanda']"),
        ({"seed": "a"}, "seed must be an integer, but got 'a'"),
        ({"seed": True}, "seed must be an integer, but got True"),
        ({"seed": 1.5}, "seed must be an integer, but got 1.5"),
        ({"seed": 10**5000}, "seed must be an integer from 0 to 4294967295"),
        ({"edit_batch": 10**30}, "edit_batch must be an integer from 0 to 1000000"),
        ({"model": 5}, "model must be a string, but got 5"),
        ({"model": "x/" * 10_000}, "model must be one line of 1 to 4095"),
        ({"model": "a\0b"}, "model must be one line of 1 to 4095"),
        ({"experiment": 5}, "experiment must be a string, but got 5"),
        ({"experiment": "a\nb"}, "experiment must be one line of 1 to 200"),
        ({"experiment": "x" * 300}, "experiment must be one line of 1 to 200"),
        ({"device": ["cpu"]}, "device must be a string"),
        ({"cache": "folder"}, "cache must be a Checkpoints or None, but got 'folder'"),
        ({"sed": 1}, "run has no argument 'sed'. Did you mean 'seed'?"),
    ],
)
def test_wrong_arguments_of_run_are_one_line_and_no_run_is_made(
    values: dict[str, Any], message: str, local_store: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        run(**{"composition": "ft", **values})
    assert message in str(error.value)
    assert len(str(error.value)) < 400 and str(error.value).isprintable()
    assert not runs_in(local_store)


def runs_in(address: str) -> list[str]:
    """Return the ids of all runs of a store."""
    client = MlflowClient(tracking_uri=address)
    experiment_ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run.info.run_id for run in client.search_runs(experiment_ids)]


def test_settings_from_python_are_checked_without_run() -> None:
    for values in ({"seed": "a"}, {"seed": True}, {"edit_batch": 1.5}, {"model": 5}, {"data": 5}):
        with pytest.raises(InvalidInput, match=f"{next(iter(values))} must be"):
            RunContext(Settings(**cast(Any, values)))


def test_a_composition_that_a_param_cannot_hold_is_refused() -> None:
    step = "lora(targets=('" + "', '".join(["down_proj"] * 30) + "'), rank=4)"
    with pytest.raises(InvalidInput, match="a composition may have 6000 characters, as MLflow's"):
        plan_run(" | ".join([step] * 20), Settings())


def test_a_long_run_name_is_cut_to_what_a_column_holds() -> None:
    name = schema.run_name(["wanda(sparsity=0.25)"] * 20)
    assert len(name) == 250 and name.endswith("…")
    assert schema.run_name(["x" * 250]) == "x" * 250


@pytest.mark.parametrize("value", ["abc", "nan", "-1", "1e", "\u0663\u0663x"])
def test_a_cache_size_that_is_none_is_one_line(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE_GIB", value)
    with pytest.raises(
        InvalidInput, match="COMPOSABILITY_CACHE_GIB must be a number of at least 0"
    ):
        Checkpoints(tmp_path)
    monkeypatch.setenv("COMPOSABILITY_CACHE_GIB", "0.5")
    assert cache.limit_gib() == 0.5
    monkeypatch.setenv("COMPOSABILITY_CACHE_GIB", "")
    assert cache.limit_gib() == 10


def test_a_cache_that_is_a_file_or_cannot_be_written_is_one_line_and_no_run(
    tmp_path: Path, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(file))
    with pytest.raises(InvalidInput, match=r"cannot write to the cache .*: not a directory; name"):
        run("ft", device="cpu")
    assert not runs_in(local_store)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InvalidInput, match="permission denied; name another folder with"):
        Checkpoints(tmp_path / "folder")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compositions(5), "experiment must be a string or several of a string or None"),  # type: ignore[arg-type]
        (lambda: compositions(filter=5), "filter must be a string or None"),  # type: ignore[arg-type]
        (lambda: items("id"), "runs must be a DataFrame or several of a string, but got 'id'"),
        (lambda: items(pd.DataFrame()), "runs must have a column 'run_id'"),
        (lambda: items([], missing="ignore"), "missing must be raise or skip"),
        (lambda: point(5, 5), "runs must be a DataFrame, but got 5"),  # type: ignore[arg-type]
        (lambda: area(5), "points must be a DataFrame, but got 5"),  # type: ignore[arg-type]
        (lambda: area(pd.DataFrame()), "points must have a column 'intervention'"),
        (lambda: recommend(5, "a"), "runs must be a DataFrame, but got 5"),  # type: ignore[arg-type]
        (lambda: recommend(pd.DataFrame(), 5), "pair must be a string"),  # type: ignore[arg-type]
        (lambda: Composition.parse("ft", profile=5), "profile must be a string"),  # type: ignore[arg-type]
        (lambda: read_analysis_request(bounds="mmlu=nan"), "bounds must be written like"),
        (lambda: read_analysis_request(levels="bits=1e999"), "levels must be written like"),
        (lambda: read_analysis_request("a\nb"), "experiment must be one line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "call",
)
def test_wrong_arguments_of_the_queries_are_one_line(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"better": "x"}, "better must be one of 'higher', 'lower', 'neither', but got 'x'"),
        ({"reads": ["editz"]}, "reads names 'editz'; the data has:"),
        ({"reads": "edits"}, "reads must be several of a string"),
        ({"judges": iter([5])}, "judges must be several of a string"),
        ({"version": 0}, "version must be an integer from 1"),
        ({"chance": float("nan")}, "chance must be finite"),
        ({"chances": 1}, "criterion has no argument 'chances'. Did you mean 'chance'?"),
    ],
)
def test_wrong_arguments_of_a_criterion_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        criterion(**{**BAD, **values})
    assert message in str(error.value)


def test_a_criterion_is_a_function_with_a_name_that_a_metric_may_have() -> None:
    with pytest.raises(InvalidInput, match="a criterion must be a function, but got 5"):
        criterion(**BAD)(5)  # type: ignore[arg-type]

    def ünmeasured(lm: LM, data: Data) -> Any:
        raise NotImplementedError

    for function in (lambda lm, data: None, ünmeasured):
        with pytest.raises(InvalidInput, match="a criterion must be named by at most 100 letters"):
            criterion(**BAD)(function)  # type: ignore[arg-type]
        assert function.__name__ not in CRITERIA.all()
