"""Which layers LoRA adapts: by name, or by what they do in any family of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from interventions.anatomy import blocks
from interventions.errors import InvalidInput, shown
from interventions.weight_matrix import WeightMatrix, weight_matrices

MLP, QUERY_VALUE = "mlp", "query_value"
_ATTENTION = ("attn", "attention")
# what attention writes to the residual stream with
_ATTENTION_OUTPUTS = ("o_proj", "out_proj", "dense", "c_proj", "wo")
# what peft takes for a part of experts wherever it stands
_EXPERTS_LEAVES = ("gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")


@dataclass(frozen=True)
class Targets:
    """The adapted matrices of a model.

    Attributes:
        matrices: by their names in the model, such as ``model.layers.0.self_attn.q_proj``.
        beside_experts: whether the model has fused experts, adapted or not, or peft takes it for
            one that has: such a family may have none in any block.
    """

    matrices: dict[str, WeightMatrix]
    beside_experts: bool

    @property
    def layers(self) -> list[str]:
        """Return the names of the linear layers."""
        return [name for name, matrix in self.matrices.items() if matrix.expert is None]

    @property
    def fused(self) -> list[str]:
        """Return the names of the parameters of fused experts, which no linear layer holds."""
        names = [
            f"{_parent(_parent(name))}.{matrix.key}"
            for name, matrix in self.matrices.items()
            if matrix.expert is not None
        ]
        return list(dict.fromkeys(names))

    @property
    def parameters(self) -> list[str]:
        """Return the names of what peft is to adapt as parameters, not as layers.

        Beside experts, these are layers too, of MLPs and of gates in attention: peft takes their
        names, such as ``gate_proj``, for those of experts that are not fused, and would adapt the
        fused ones in their place.
        """
        layers = [
            f"{name}.weight"
            for name in self.layers
            if not _in_attention(name) or _leaf(name) in _EXPERTS_LEAVES
        ]
        return [*self.fused, *(layers if self.beside_experts else [])]

    @property
    def transposed(self) -> bool:
        """Tell whether the layers store their weights as (in, out): Conv1D's of GPT-2."""
        return any(isinstance(matrix.module, Conv1D) for matrix in self.matrices.values())

    @property
    def greatest_rank(self) -> int:
        """Return the greatest rank that a change of one of them can have: its smaller side."""
        return max(min(matrix.weight.shape) for matrix in self.matrices.values())


def find_targets(model: PreTrainedModel, targets: Sequence[str]) -> Targets:
    """Return the matrices of the decoder blocks that are meant.

    Args:
        model: its weights may be on the meta device.
        targets: last parts of the names of layers; or "mlp" for all matrices of the MLPs, with
            experts those of all experts; or "query_value" for those that compute queries and
            values, which some families have in one with the keys. A router is none of them.

    Raises:
        InvalidInput: there is none of such a name in the blocks.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import skeleton
        >>> find_targets(skeleton(MODEL), ["query_value"]).layers[:2]
        ['model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.v_proj']
    """
    known = dict(_matrices(model))
    names: set[str] = set()
    for target in targets:
        selected = _names(model, known, target)
        if not selected:
            leaves = ", ".join(sorted({_leaf(name) for name in known}))
            raise InvalidInput(
                f"lora.targets names {shown(target, 100)}, which the model lacks; it has:"
                f" {leaves}; {MLP!r} means all of the MLPs, {QUERY_VALUE!r} some of attention"
            )
        names |= selected
    matrices = {name: matrix for name, matrix in known.items() if name in names}
    fused = any(matrix.expert is not None for matrix in known.values())
    return Targets(matrices, fused or _is_taken_for_experts(model, list(matrices)))


def _is_taken_for_experts(model: PreTrainedModel, layers: list[str]) -> bool:
    """Tell whether peft gives layers of these names up for fused experts, there or not."""
    # imported here: no other method needs peft
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    config = LoraConfig(target_modules=layers)
    try:
        convert_peft_config_for_transformers(config, model, None)
    except ValueError:  # it misses the gate beside the up-projection
        return True
    return set(config.target_modules or ()) != set(layers)


def _matrices(model: PreTrainedModel) -> Iterator[tuple[str, WeightMatrix]]:
    """Yield (name in the model, matrix) of all weight matrices of the decoder blocks."""
    decoder_blocks = blocks(model)
    prefix = next(name for name, module in model.named_modules() if module is decoder_blocks)
    for index, block in enumerate(decoder_blocks):
        for name, matrix in weight_matrices(block):
            yield f"{prefix}.{index}.{name}", matrix


def _names(model: PreTrainedModel, known: dict[str, WeightMatrix], target: str) -> set[str]:
    in_attention = {name for name in known if _in_attention(name)}
    if target == MLP:
        return set(known) - in_attention
    if target == QUERY_VALUE:
        leaves = _query_value(model.config.model_type, {_leaf(name) for name in in_attention})
        return {name for name in in_attention if _leaf(name) in leaves}
    return {name for name in known if _leaf(name) == target}


def _query_value(model_type: str, leaves: set[str]) -> set[str]:
    """Return the names of the layers that compute queries and values.

    Args:
        model_type: of the model's configuration.
        leaves: last parts of the names of all linear layers of attention.
    """
    # imported here: no other method needs peft
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    separate = {"q_proj", "v_proj"}
    if separate <= leaves:
        return separate
    pefts = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(model_type, ())
    return leaves & set(pefts) or leaves - set(_ATTENTION_OUTPUTS)


def _in_attention(name: str) -> bool:
    return any(part in name for part in _ATTENTION)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
