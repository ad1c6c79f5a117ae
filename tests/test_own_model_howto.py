"""The page on a reader's own model, adapter and chat, done as it is printed, on small copies."""

import re
import shlex
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from composability.command import main
from tests.anatomies import zoo
from tests.checkouts import ROOT
from tests.interventions.adapters.trained import adapter, change_config
from tests.interventions.test_prompt_format import TEMPLATES
from tracking import query

PAGE = (ROOT / "docs" / "howto" / "own-model.md").read_text()


def commands() -> list[list[str]]:
    printed = re.findall(r"^composability .+$", PAGE, re.MULTILINE)
    return [shlex.split(line)[1:] for line in printed]


@pytest.mark.full
def test_the_pages_commands_run_a_folder_an_adapter_in_both_orders_and_a_chat(
    local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    model, folder = adapter("llama", tmp_path / "models")
    change_config(folder, base_model_name_or_path="somebody/ours")
    model.rename(tmp_path / "ours")
    folder.rename(tmp_path / "ours-adapter")
    chat = zoo.build("gpt2", tmp_path / "models").rename(tmp_path / "ours-chat")
    known = AutoTokenizer.from_pretrained(chat)
    known.chat_template = TEMPLATES["chatml"]
    known.save_pretrained(chat)
    for command in commands():
        assert main(command) == 0
    runs = query.compositions().set_index("composition")
    assert len(runs) == 4 and set(runs.status) == {"FINISHED"}
    both = runs[runs.pair == "adapter + wanda"]
    assert len(both) == 2 and both["adapter.content"].nunique() == 1
    assert set(runs.prompt_format) == {"plain", "chat"}
    assert runs.prompt_format["ft(layers=(1,), steps=5)"] == "chat"
