"""With trust_remote_code a model's own code runs, and its checkpoints bring the code along."""

import filecmp
from pathlib import Path

import pytest
from transformers import dynamic_module_utils

from interventions.compression.backends.installed import require
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from tests.interventions.model_folders import (
    folder_with_code,
    folder_with_own_tokenizer,
    model_folder,
)


@pytest.fixture(autouse=True)
def _modules_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def test_code_that_is_trusted_runs(tmp_path: Path) -> None:
    folder, trace = folder_with_code(tmp_path)
    assert type(skeleton(folder, trust_remote_code=True)).__name__ == "OwnModel"
    assert trace.exists()
    lm = LM.load(folder, trust_remote_code=True)
    assert type(lm.model).__name__ == "OwnModel"


def test_a_saved_model_has_its_code_and_needs_the_same_trust(tmp_path: Path) -> None:
    folder, _ = folder_with_code(tmp_path)
    lm = LM.load(folder, trust_remote_code=True)
    lm.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "modeling_own.py").exists()
    with pytest.raises(InvalidInput, match="trust_remote_code=true"):
        LM.load(tmp_path / "saved")
    again = LM.load(tmp_path / "saved", trust_remote_code=True)
    assert again.fingerprint() == lm.fingerprint()
    again.save(tmp_path / "again")
    names = [path.name for path in (tmp_path / "saved").iterdir()]
    assert (
        filecmp.cmpfiles(tmp_path / "saved", tmp_path / "again", names, shallow=False)[0] == names
    )


def test_a_tokenizer_that_is_trusted_runs_and_is_saved(tmp_path: Path) -> None:
    folder, trace = folder_with_own_tokenizer(tmp_path)
    LM.load(folder, trust_remote_code=True).save(tmp_path / "saved")
    assert trace.exists()
    lm = LM.load(tmp_path / "saved", trust_remote_code=True)
    assert type(lm.tokenizer).__name__ == "OwnTokenizer"


def test_a_folders_generate_which_checkpoints_would_lack_is_not_used(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("def generate(model): return 5\n")
    assert "generate" not in vars(LM.load(folder, trust_remote_code=True).model)


def test_no_backend_is_given_a_models_own_code(tmp_path: Path) -> None:
    folder, _ = folder_with_code(tmp_path)
    model = skeleton(folder, trust_remote_code=True)
    with pytest.raises(InvalidInput, match=r"backend='awq-x' does not run .*'OwnModel'"):
        require("awq-x", model)
