"""The page on reproducing the paper: its commands, on small local copies and a small model."""

import re
import shlex
from pathlib import Path

import datasets
import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from composability.command import main
from interventions.data import hub
from interventions.data.testbed import MODEL
from interventions.lm import LM
from interventions.specs import sweep
from sweeps.grid.enumerate import enumerate_compositions, preset_interventions
from sweeps.grid.presets import PRESETS
from tests.checkouts import ROOT
from tests.interventions.data.local_copies import write_copies
from tracking import query

PAGE = (ROOT / "docs" / "howto" / "full-scale.md").read_text()
LLAMA = "meta-llama/Meta-Llama-3-8B"
FEW = ["--criteria", "sparsity"]  # what takes no time


def commands(name: str) -> list[list[str]]:
    """Return the page's command lines of a subcommand, without the program."""
    printed = re.findall(r"^composability .+$", PAGE, re.MULTILINE)
    lines = [shlex.split(line)[1:] for line in printed]
    return [line for line in lines if line[0] == name]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model as deep as the paper's hyperparameters ask for, and tiny copies of the data."""
    (tmp_path / "data").mkdir()
    write_copies(tmp_path / "data")
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path / "data"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tokenizer = LM.load(MODEL).tokenizer
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LM(LlamaForCausalLM(config), tokenizer).save(tmp_path / "deep")
    return tmp_path / "deep"


def with_model(line: list[str], model: Path) -> list[str]:
    return [str(model) if word == LLAMA else word for word in line]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:AWQ is calibrated on C4:UserWarning")
def test_the_plans_are_printed_and_say_what_fits(
    model: Path,
    local_store: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(PRESETS, "paper", "ft; wanda(sparsity=[0.25, 0.35])")
    of_preset, of_run = ([*with_model(line, model), *FEW] for line in commands("plan"))
    assert main(of_run) == 0
    printed = capsys.readouterr().out
    assert "(bfloat16, cuda)" in printed and "NVIDIA H100" in printed
    for step in ("base model", "lora", "wanda"):
        assert re.search(rf"^{step}\S*  +[\d.]+ ", printed, re.MULTILINE), step
    assert "unknown" not in printed and "warning" not in printed
    assert main(of_preset) == 0
    printed = capsys.readouterr().out
    assert "paper: 8 runs" in printed and "unknown" not in printed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:AWQ is calibrated on C4:UserWarning")
def test_the_grid_and_the_run_are_made_and_analysed(
    model: Path,
    local_store: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dry, grid = (with_model(line, model) for line in commands("grid"))
    run = with_model(commands("run")[0], model)
    assert main(dry) == 0
    assert "311 runs" in capsys.readouterr().out
    monkeypatch.setitem(PRESETS, "paper", "ft(steps=1); magnitude")
    assert main(grid) == 0
    assert main([*run, "--dry-run", "true"]) == 0
    assert main(run) == 0
    runs = query.compositions()
    assert {"ft + magnitude", "lora + wanda"} <= set(runs.pair)
    assert main(commands("analyze")[0]) == 0


def test_what_the_page_says_of_the_grid_is_so() -> None:
    steps = sweep(preset_interventions("paper"), "paper")
    compositions = enumerate_compositions(steps, range(3))
    again = [
        steps_of
        for steps_of in compositions
        if len(steps_of) == 2
        and (steps_of[0].category, steps_of[0].recompressed_in_paper) == ("compression", True)
        and steps_of[1].category != "compression"
    ]
    page = " ".join(PAGE.split())
    assert f"its {len(compositions)} compositions" in page
    assert f"{len(compositions) - 1} checkpoints" in page
    assert f"up to {len(again)} recompressions" in page
