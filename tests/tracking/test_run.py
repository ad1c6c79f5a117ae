import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from interventions.base import make
from interventions.criteria.base import CRITERIA
from interventions.data.testbed import MODEL
from tracking import query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import main, run

ROOT = Path(__file__).resolve().parents[2]


def history(client: MlflowClient, run_id: str, metric: str) -> dict[int, float]:
    return {m.step: schema.from_store(m.value) for m in client.get_metric_history(run_id, metric)}


def artifacts(run_id: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id))


@pytest.mark.full
def test_the_main_job_edits_then_prunes_and_shows_every_step(
    local_store: str, kept: Checkpoints
) -> None:
    """Thresholds: the issue's."""
    run_id = run("lora | wanda", cache=kept)
    client = MlflowClient(local_store)
    logged = client.get_run(run_id)
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "lora → wanda(sparsity=0.5)"
    assert client.get_experiment(logged.info.experiment_id).name == "composability"
    params = logged.data.params
    assert params["composition"] == "lora | wanda(sparsity=0.5)"
    assert (params["pair"], params["step1"], params["step2"]) == ("lora + wanda", "lora", "wanda")
    for step in (make("lora"), make("wanda")):
        assert {k: params[f"{step.name}.{k}"] for k in step.params()} == {
            k: str(v) for k, v in step.params().items()
        }
    assert (params["model"], params["seed"], params["edit_batch"], params["used.dtype"]) == (
        "testbed", "0", "0", "float32",
    )  # fmt: skip
    success = history(client, run_id, "edit_success")
    assert set(success) == {0, 1, 2}
    assert success[0] <= 0.10
    assert success[1] >= 0.90
    assert history(client, run_id, "sparsity")[2] == pytest.approx(0.5, abs=0.01)
    assert history(client, run_id, "mmlu")[0] >= 0.90
    assert history(client, run_id, "wmdp")[0] >= 0.90
    for name in CRITERIA.all():
        assert set(history(client, run_id, name)) == {0, 1, 2}
        assert f"stderr/{name}" in logged.data.metrics
    assert set(history(client, run_id, "cost/seconds_apply")) == {1, 2}
    assert set(history(client, run_id, "cost/peak_memory_gib")) == {0, 1, 2}


@pytest.mark.full
def test_a_runs_artifacts_are_checkpoints_exact_values_and_items(
    local_store: str, kept: Checkpoints
) -> None:
    run_id = run("lora | wanda", cache=kept)
    folder = artifacts(run_id)
    checkpoint = folder / "checkpoints" / "2-wanda"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(checkpoint)
    zeros = (model.model.layers[0].mlp.down_proj.weight == 0).float().mean()
    assert zeros == pytest.approx(0.5, abs=0.01)
    exact = json.loads((folder / "criteria.json").read_text())
    assert [step["intervention"] for step in exact["steps"]] == [
        None,
        "lora",
        "wanda(sparsity=0.5)",
    ]
    items = pd.read_parquet(folder / "items.parquet")
    assert list(items.columns) == ["criterion", "step", "item", "score"]
    means = items[items.criterion == "mmlu"].groupby("step").score.mean()
    for step in (0, 1, 2):
        assert means[step] == pytest.approx(exact["steps"][step]["criteria"]["mmlu"]["value"])
    models = MlflowClient(local_store).search_logged_models([store.experiment()])
    assert {m.name for m in models} == {"1-lora", "2-wanda"}
    assert all({metric.key for metric in m.metrics} >= {"edit_success", "mmlu"} for m in models)


@pytest.mark.full
def test_compressing_before_editing_ends_with_compression_again_visibly(
    local_store: str, kept: Checkpoints
) -> None:
    client = MlflowClient(local_store)
    run_id = run("wanda | lora", cache=kept)
    logged = client.get_run(run_id)
    assert logged.info.run_name == "wanda(sparsity=0.5) → lora → wanda(sparsity=0.5) (again)"
    assert logged.data.params["composition"] == "wanda(sparsity=0.5) | lora"
    assert logged.data.params["step3"] == "wanda"
    assert logged.data.tags[schema.RECOMPRESSED] == "wanda(sparsity=0.5)"
    sparsity = history(client, run_id, "sparsity")
    assert sparsity[2] < 0.45
    assert sparsity[3] == pytest.approx(0.5, abs=0.01)
    never = client.get_run(run("wanda | lora", recompress="never", cache=kept))
    assert "step3" not in never.data.params
    assert never.data.metrics["sparsity"] == pytest.approx(sparsity[2])


def test_a_kept_prefix_and_a_recomputed_one_lead_to_the_same_result(
    local_store: str, tmp_path: Path
) -> None:
    client, kept = MlflowClient(local_store), Checkpoints(tmp_path / "kept")
    run("ft", cache=kept, checkpoints="none")
    reusing = run("ft | wanda", cache=kept)
    afresh = run("ft | wanda", cache=Checkpoints(tmp_path / "other"))
    one, two = client.get_run(reusing).data, client.get_run(afresh).data
    assert (one.tags[schema.REUSED_PREFIX], two.tags[schema.REUSED_PREFIX]) == ("1", "0")
    for name in CRITERIA.all():
        assert one.metrics[name] == two.metrics[name]
    assert one.tags[schema.KEY] == two.tags[schema.KEY]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", {"1-ft", "2-wanda"}),
        ("last", {"2-wanda"}),
        ("changed", {"1-ft", "2-wanda"}),
        ("none", set()),
    ],
)
def test_checkpoints_are_logged_as_asked(
    keep: str, expected: set[str], local_store: str, kept: Checkpoints
) -> None:
    folder = artifacts(run("ft | wanda", checkpoints=keep, cache=kept)) / "checkpoints"
    assert {path.name for path in folder.glob("*")} == expected


def test_the_last_checkpoint_is_the_recompressed_one(local_store: str, kept: Checkpoints) -> None:
    folder = artifacts(run("wanda | ft", checkpoints="last", cache=kept)) / "checkpoints"
    assert {path.name for path in folder.glob("*")} == {"3-wanda"}


def test_infinite_criteria_survive_store_and_query(local_store: str, kept: Checkpoints) -> None:
    run_id = run("ga(lr=1e30)", cache=kept)
    row = query.compositions().set_index("run_id").loc[run_id]
    assert row.wikitext_ppl == math.inf
    assert "wikitext_ppl" in row.diverged
    exact = json.loads((artifacts(run_id) / "criteria.json").read_text())
    assert float(exact["steps"][1]["criteria"]["wikitext_ppl"]["value"]) == math.inf


def test_the_query_gives_typed_columns_one_row_a_composition(
    local_store: str, kept: Checkpoints
) -> None:
    one = run("ft(layers=(3, 4))", cache=kept, checkpoints="none")
    two = run("wanda(sparsity=0.25)", cache=kept, checkpoints="none", edit_batch=1)
    frame = query.compositions().set_index("run_id")
    assert set(frame.index) == {one, two}
    assert frame.loc[two, "wanda.sparsity"] == 0.25
    assert frame.loc[one, "ft.layers"] == [3, 4]
    assert str(frame.edit_batch.dtype) == "Int64"
    assert frame.loc[two, "edit_batch"] == 1
    assert (frame.status == "FINISHED").all()
    assert frame.loc[one, "dtype"] == "float32"
    assert query.compositions(filter="params.step1 = 'wanda'").run_id.tolist() == [two]


def test_an_unknown_experiment_is_named(local_store: str) -> None:
    with pytest.raises(
        ValueError, match=r"no experiment is named 'nope' .* there are: Default, composability"
    ):
        query.compositions("nope")


# bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--first", "wnda"], "no intervention is named 'wnda'. Did you mean 'wanda'"),
        (
            ["--first", "wanda(sparsity=25)"],
            "wanda.sparsity must be at least 0 and less than 1, but got 25",
        ),
        (["--first", "ft(layers=17)"], "ft.layers names layer 17, but the model has layers 0 to 5"),
        (["--model", "./not/there"], "model './not/there' is not a folder"),
        (
            ["--model", "nobody/nothing"],
            "cannot read a causal language model from 'nobody/nothing'",
        ),
        (["--data", "papr"], "data must be testbed or paper, but got 'papr'"),
        (["--edit_batch", "10"], "edit_batch must be 0 to 9"),
        (["--edit_batch", "x"], "edit_batch"),
        (["--seed", "-1"], "seed must be 0 to 4294967295, but got -1"),
        (["--dtype", "float8"], "dtype must be auto or float32"),
        (["--recompress", "maybe"], "recompress must be auto or never or paper, but got 'maybe'"),
        (["--checkpoints", "some"], "checkpoints must be all or last or changed or none"),
        (["--frist", "lora"], "unknown parameter '--frist'; valid: "),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(
    arguments: list[str], message: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert len(query.compositions()) == 0
    assert not MlflowClient(local_store).search_runs([store.experiment()])


def test_bad_input_under_mlflow_run_fails_its_run_with_the_line_as_note(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.experiment()).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["--first", "wnda"]) == 2
    ended = client.get_run(run_id)
    assert ended.info.status == "FAILED"
    assert "Did you mean 'wanda'" in ended.data.tags["mlflow.note.content"]


def test_an_adopted_run_keeps_what_the_launcher_logged(
    local_store: str, monkeypatch: pytest.MonkeyPatch, kept: Checkpoints
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.experiment()).info.run_id
    for key, value in {"first": "ft", "dtype": "auto", "model": f"'{MODEL}'", "seed": "0"}.items():
        client.log_param(run_id, key, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert run("ft", model=str(MODEL), cache=kept) == run_id
    row = query.compositions().iloc[0]
    assert (row["model"], row["dtype"], row["seed"]) == (str(MODEL), "float32", 0)
    assert "first" not in row


# how runs end


def test_a_failure_leaves_the_run_failed_with_its_traceback(
    local_store: str, kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("tracking.chain.apply", broken)
    with pytest.raises(RuntimeError, match=r"out of luck"):
        run("ft(steps=7)", cache=kept)
    (failed,) = MlflowClient(local_store).search_runs([store.experiment()])
    assert failed.info.status == "FAILED"
    assert failed.data.tags["mlflow.note.content"] == "out of luck"
    assert (
        "RuntimeError: out of luck" in (artifacts(failed.info.run_id) / "traceback.txt").read_text()
    )


def start(arguments: list[str], uri: str, cache: Path) -> subprocess.Popen[str]:
    """A run in a process of its own that has come to its first step."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "COMPOSABILITY_CACHE": str(cache)}
    command = [sys.executable, "-m", "tracking.run", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True)
    client = MlflowClient(uri)
    for _ in range(600):
        runs = client.search_runs([client.get_experiment_by_name("composability").experiment_id])
        if runs and "edit_success" in runs[0].data.metrics:
            return process
        assert process.poll() is None
        time.sleep(0.2)
    raise AssertionError("the run never came to its first step")


LONG = ["--first", "lora(steps=100000)"]


@pytest.mark.full
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_run_killed(
    number: signal.Signals, status: int, local_store: str, kept_folder: Path
) -> None:
    process = start(LONG, local_store, kept_folder)
    process.send_signal(number)
    assert process.wait(60) == status
    (killed,) = MlflowClient(local_store).search_runs([store.experiment()])
    assert killed.info.status == "KILLED"


@pytest.mark.full
def test_a_run_killed_with_9_is_marked_at_the_next_start(
    local_store: str, kept: Checkpoints
) -> None:
    process = start(LONG, local_store, kept.folder)
    process.kill()
    process.wait(60)
    client = MlflowClient(local_store)
    (left,) = client.search_runs([store.experiment()])
    assert left.info.status == "RUNNING"
    run("none", cache=kept)
    assert client.get_run(left.info.run_id).info.status == "KILLED"


@pytest.mark.full
def test_the_users_command_works_as_written_from_another_directory(
    tmp_path: Path, kept_folder: Path
) -> None:
    """`mlflow run <checkout> -P …` without pyenv or virtualenv on PATH; bad input, so that it is short."""
    from tracking import setup

    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "MLFLOW_ENV_ROOT": str(tmp_path / "envs"),
        "MLFLOW_TRACKING_URI": uri,
        "COMPOSABILITY_CACHE": str(kept_folder),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
        setup.register(Path(sys.prefix))

    def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("mlflow")), "run", str(ROOT), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    wrong = launch("-P", "first=wnda")
    assert wrong.returncode != 0
    assert "Did you mean 'wanda'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    right = launch("-P", "first=ft", "-P", "second=wanda(sparsity=0.25)")
    assert right.returncode == 0, right.stderr
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("composability").experiment_id])
    assert [r.info.status for r in runs] == ["FINISHED", "FAILED"]
    assert runs[0].info.run_name == "ft → wanda(sparsity=0.25)"
    assert "Did you mean 'wanda'" in runs[1].data.tags["mlflow.note.content"]
