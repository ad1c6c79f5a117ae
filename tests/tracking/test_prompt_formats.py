"""Runs on chats: what they log, what their keys are, and what is refused before a run."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from transformers import AutoTokenizer

from interventions.errors import InvalidInput
from tests.interventions.model_folders import model_folder
from tests.interventions.test_prompt_format import TEMPLATES
from tracking import query, schema
from tracking.chain import Chain
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.integrity import damaged_files
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext, plan_run
from tracking.run import run
from tracking.settings import Settings

STEPS = "ft(layers=1, steps=2)"


@pytest.fixture
def chatty(tmp_path: Path) -> str:
    """A copy of the testbed's model whose tokenizer has a chat template."""
    folder = model_folder(tmp_path)
    known = AutoTokenizer.from_pretrained(folder)
    known.chat_template = TEMPLATES["chatml"]
    known.save_pretrained(folder)
    return str(folder)


def settings(model: str, prompt_format: str) -> Settings:
    return Settings(model=model, prompt_format=prompt_format, criteria="edit_success", limit=4)


def test_keys_of_chats_are_others_and_those_of_plain_prompts_stay(chatty: str) -> None:
    plain, chat = (plan_run(STEPS, settings(chatty, name)) for name in ("plain", "chat"))
    assert not set(plain.keys) & set(chat.keys)
    assert chat.prompt_format.before == "<|im_start|>user\n"
    assert RunContext(Settings(prompt_format="plain")).origin == RunContext(Settings()).origin
    template = Path(chatty) / "chat_template.jinja"
    template.write_text(TEMPLATES["chatml"].replace("<|im_end|>", "<end>"))
    changed = {name: plan_run(STEPS, settings(chatty, name)).keys for name in ("plain", "chat")}
    assert changed["plain"] == plain.keys and not set(changed["chat"]) & set(chat.keys)


def test_a_run_on_chats_says_so_and_is_restored(
    chatty: str, local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    runs = {}
    for name in ("plain", "chat"):
        runs[name] = run(
            STEPS,
            model=chatty,
            prompt_format=name,
            criteria="edit_success",
            limit=4,
            checkpoints="last" if name == "chat" else "none",
            cache=cache,
        )
    params = {name: MlflowClient().get_run(run_id).data.params for name, run_id in runs.items()}
    assert "prompt_format" not in params["plain"] and params["chat"]["prompt_format"] == "chat"
    rows = query.compositions().set_index("run_id")
    assert {name: rows.prompt_format[run_id] for name, run_id in runs.items()} == {
        "plain": "plain",
        "chat": "chat",
    }
    weights = {MlflowClient().get_run(each).data.tags[schema.WEIGHTS] for each in runs.values()}
    assert len(weights) == 2  # it has learned another text
    chain = Chain(plan_run(STEPS, settings(chatty, "chat")), cache)
    assert chain.model_after(1).prompt_format.name == "chat" and chain.steps_reused == 1
    for number in range(2):  # from artifacts, and with these gone, computed again
        folder = load_checkpoint(
            runs["chat"], 1, tmp_path / str(number), Checkpoints(tmp_path / f"cache{number}")
        )
        assert damaged_files(folder) == []
        artifacts = MlflowClient().get_run(runs["chat"]).info.artifact_uri
        for path in (Path(artifacts.removeprefix("file://")) / "checkpoints").rglob("*.*"):
            path.unlink()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chat", "prompt_format=chat needs a chat template, but the tokenizer of"),
        ("caht", "prompt_format must be plain or chat, but got 'caht'"),
    ],
)
def test_what_cannot_be_a_chat_is_refused_before_a_run(
    name: str, words: str, local_store: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=words):
        run("none", prompt_format=name, cache=Checkpoints(tmp_path / "cache"))
    assert query.compositions().empty
