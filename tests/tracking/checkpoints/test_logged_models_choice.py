"""Which of several LoggedModels is a checkpoint's."""

from types import SimpleNamespace
from typing import Any

from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from tracking import schema
from tracking.checkpoints.logged_models import model_of_step


def model(created: int, status: str = "READY", **tags: str) -> Any:
    return SimpleNamespace(creation_timestamp=created, status=LoggedModelStatus(status), tags=tags)


MODELS = {
    "older": model(9),
    "newest": model(100),
    "old": model(50),
    "failed": model(200, "FAILED"),
    "packed": model(300, **{schema.EXPORT: "gptq"}),
    "empty": model(400, **{"mlflow.model.isExternal": "true"}),
    "of another step": model(500),
}


def get_logged_model(model_id: str) -> Any:
    if model_id not in MODELS:
        raise MlflowException("it was deleted")
    return MODELS[model_id]


def choice(*model_ids: str) -> Any:
    outputs = [
        SimpleNamespace(step=3 if "another" in name else 2, model_id=name) for name in model_ids
    ]
    run: Any = SimpleNamespace(outputs=SimpleNamespace(model_outputs=outputs))
    client: Any = SimpleNamespace(get_logged_model=get_logged_model)
    return model_of_step(client, run, 2)


def test_the_newest_with_files_counts_that_the_run_has_at_that_step() -> None:
    assert choice("older", *MODELS, "deleted", "old") is MODELS["newest"]
    assert choice("failed", "packed", "empty", "of another step", "deleted") is None
    assert choice() is None
