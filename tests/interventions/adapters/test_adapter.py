"""An adapter of somebody's own, merged: against peft, and refused where it is not what it says."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from interventions.adapters.adapter import Adapter
from interventions.adapters.config import CONFIG
from interventions.adapters.files import WEIGHTS
from interventions.base import INTERVENTIONS, make
from interventions.composition import Composition, apply
from interventions.criteria.base import measure
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from tests.anatomies.zoo import build
from tests.interventions.adapters.trained import (
    adapter,
    change_config,
    change_factors,
    merged_by_peft,
)

KEY = "0123456789abcdef" * 2
NO_DATA = Data("none")
PLAIN: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {
        "rank_pattern": {"layers.1.self_attn.q_proj": 2, "^model.layers.0.mlp.down_proj": 5},
        "alpha_pattern": {"down_proj": 1, "0.self_attn.q_proj": 9},
    },
    "some-layers": {"layers_to_transform": [1], "layers_pattern": "layers"},
}


def merged(model_folder: Path, adapter_folder: Path, dtype: str = "float32") -> LM:
    """The model with the adapter, checked and applied as a run does."""
    step = make("adapter", path=str(adapter_folder))
    step.check(skeleton(model_folder))
    return apply(step, LM.load(model_folder, dtype), NO_DATA, KEY)


@pytest.mark.parametrize(
    ("family", "settings"), [*(("llama", name) for name in PLAIN), ("gpt2", "plain")]
)
def test_a_merged_adapter_is_pefts_merged_model(family: str, settings: str, tmp_path: Path) -> None:
    model_folder, folder = adapter(family, tmp_path, **PLAIN[settings])
    expected, state = merged_by_peft(model_folder, folder), LM.load(model_folder).model.state_dict()
    ours = merged(model_folder, folder).model.state_dict()
    assert ours.keys() == expected.keys()
    changed = {name for name in ours if not torch.equal(ours[name], state[name])}
    assert changed
    assert changed == {name for name in ours if not torch.equal(expected[name], state[name])}
    for name in ours:
        torch.testing.assert_close(ours[name], expected[name], rtol=1e-5, atol=1e-6)


def test_in_half_precision_the_sum_is_rounded_once(tmp_path: Path) -> None:
    model_folder, folder = adapter("llama", tmp_path)
    start = LM.load(model_folder, "bfloat16").model.float()
    start.save_pretrained(tmp_path / "rounded")  # the float32 of the bfloat16 weights
    shutil.copy(model_folder / "tokenizer.json", tmp_path / "rounded")
    expected = merged_by_peft(tmp_path / "rounded", folder)
    ours = merged(model_folder, folder, "bfloat16").model.state_dict()
    for name, tensor in ours.items():
        assert torch.equal(tensor, expected[name].bfloat16())


def test_checkpoints_go_by_what_is_in_the_adapter_not_by_its_name(tmp_path: Path) -> None:
    _, folder = adapter("llama", tmp_path)
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "copied"))

    def key(path: Path) -> str:
        return Composition([make("adapter", path=str(path))]).keys("origin", NO_DATA)[1]

    before = key(folder)
    assert key(copy) == before
    (copy / "README.md").write_text("another text")  # which nothing reads
    assert key(copy) == before
    for name in (CONFIG, WEIGHTS):
        content = bytearray((folder / name).read_bytes())
        content[-2] ^= 1
        (copy / name).write_bytes(content)
        assert key(copy) != before
        shutil.copy(folder / name, copy)
    assert key(copy) == before


def test_the_content_is_recorded_and_may_be_asked_for(tmp_path: Path) -> None:
    model_folder, folder = adapter("llama", tmp_path)
    step = make("adapter", path=str(folder))
    content = step.params()["content"]
    assert len(content) == 32 and step.params()["path"] == str(folder)
    make("adapter", path=str(folder), content=content).check(skeleton(model_folder))
    with pytest.raises(InvalidInput, match=f"has the content {content}|have the content {content}"):
        make("adapter", path=str(folder), content="0" * 32).check(skeleton(model_folder))
    assert make("adapter", path=str(tmp_path / "missing")).params()["content"] == ""


def test_an_adapter_that_changes_after_the_plan_is_refused(tmp_path: Path) -> None:
    model_folder, folder = adapter("llama", tmp_path)
    step = make("adapter", path=str(folder))
    step.check(skeleton(model_folder))
    change_config(folder, lora_alpha=7)
    with pytest.raises(InvalidInput, match="they were changed, or are of another adapter"):
        apply(step, LM.load(model_folder), NO_DATA, KEY)


def test_the_base_model_goes_by_its_name_unless_that_is_waived(tmp_path: Path) -> None:
    model_folder, folder = adapter("llama", tmp_path)
    change_config(folder, base_model_name_or_path="meta-llama/Meta-Llama-3-8B")
    with pytest.raises(InvalidInput) as error:
        make("adapter", path=str(folder)).check(skeleton(model_folder))
    assert "was trained on 'meta-llama/Meta-Llama-3-8B', but the model is" in str(error.value)
    make("adapter", path=str(folder), any_base=True).check(skeleton(model_folder))
    for fits in ("other/LLAMA", "/somewhere/llama/", None):
        change_config(folder, base_model_name_or_path=fits)
        make("adapter", path=str(folder)).check(skeleton(model_folder))


def test_the_shipped_example_fits_the_testbed_and_has_learned_its_edits() -> None:
    step, known = make("adapter"), bed.testbed(19)
    assert step.params()["path"] == "testbed"
    step.check(skeleton(MODEL))
    learned = dataclasses.replace(known, edits=known.edits[:10])
    before = measure(LM.load(MODEL), learned, ["edit_success"])["edit_success"].value
    lm = apply(step, LM.load(MODEL), NO_DATA, KEY)
    assert before < 0.3 and measure(lm, learned, ["edit_success"])["edit_success"].value > 0.9


def test_an_adapter_is_of_a_category_whose_methods_are_compared_with_none() -> None:
    assert INTERVENTIONS.get("adapter").category == "training"
    assert Adapter.reads == frozenset() and Adapter.strength is None


# refused before anything is computed


def refusal(model_folder: Path, folder: Path) -> str:
    """The line with which an adapter is refused."""
    with pytest.raises(InvalidInput) as error:
        make("adapter", path=str(folder)).check(skeleton(model_folder))
    text = str(error.value)
    assert text.startswith("cannot merge the adapter ") and "\n" not in text and len(text) <= 390
    return text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_dora": True}, "'use_dora' in adapter_config.json is True"),
        ({"bias": "all"}, "trained biases (bias='all')"),
        (
            {"modules_to_save": ["lm_head"]},
            "'modules_to_save' in adapter_config.json is ['lm_",
        ),
        ({"lora_bias": True}, "'lora_bias'"),
        ({"target_modules": ["embed_tokens"]}, "which is no factor of plain LoRA"),
    ],
)
def test_what_is_no_plain_lora_is_refused(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in refusal(*adapter("llama", tmp_path, **settings))


def test_other_types_of_adapters_are_refused_by_name(tmp_path: Path) -> None:
    from peft import IA3Config, LoHaConfig

    for config in (
        IA3Config(task_type="CAUSAL_LM", target_modules=["q_proj"], feedforward_modules=[]),
        LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]),
    ):
        text = refusal(*adapter("llama", tmp_path / str(config.peft_type), config))
        assert "its type is" in text and "only LORA can be merged here" in text


def test_experts_that_are_fused_into_one_parameter_are_refused(tmp_path: Path) -> None:
    from peft import LoraConfig

    config = LoraConfig(
        task_type="CAUSAL_LM", target_modules=[], target_parameters=["mlp.experts.down_proj"]
    )
    assert "'target_parameters'" in refusal(*adapter("mixtral", tmp_path, config))


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    _, folder = adapter("llama", tmp_path)
    change_config(folder, base_model_name_or_path=None)
    gpt2 = build("gpt2", tmp_path)
    assert "the model has no 'model.layers." in refusal(gpt2, folder)
    assert " in the model, but " in refusal(MODEL, folder)  # a Llama of another width


def test_a_head_that_shares_its_weights_with_the_embeddings_is_refused(tmp_path: Path) -> None:
    text = refusal(*adapter("llama", tmp_path, target_modules=["lm_head", "q_proj"]))
    assert "'lm_head' has the weights of the embeddings" in text


@pytest.mark.parametrize("damage", ["nan", "inf", "shape", "integers", "lone", "overflow"])
def test_factors_that_cannot_be_are_refused(damage: str, tmp_path: Path) -> None:
    model_folder, folder = adapter("llama", tmp_path)
    tensor, words = {
        "nan": (torch.full((3, 192), torch.nan), "are not all finite"),
        "inf": (torch.full((3, 192), torch.inf), "are not all finite"),
        "shape": (torch.zeros(2, 192), "have ranks 2 and 3, but adapter_config.json says 3"),
        "integers": (torch.zeros(3, 192, dtype=torch.int64), "no matrices of numbers with a point"),
        "lone": (torch.zeros(3), "no matrices of numbers with a point"),
        "overflow": (torch.full((3, 192), 1e300, dtype=torch.float64), "are not all finite"),
    }[damage]
    change_factors(folder, A=tensor)
    assert words in refusal(model_folder, folder)


def test_a_sum_that_half_precision_cannot_hold_is_an_error(tmp_path: Path) -> None:
    model_folder, folder = adapter("llama", tmp_path)
    change_config(folder, lora_alpha=1e8)
    with pytest.raises(InvalidInput, match=r"is not finite in torch.float16 with it"):
        merged(model_folder, folder, "float16")
