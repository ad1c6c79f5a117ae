"""An adapter that was trained elsewhere, merged into the weights: `adapter(path="./ours")`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from interventions.adapters.files import AdapterFiles, Factors, content_of, read_adapter
from interventions.base import Intervention
from interventions.data.base import Data
from interventions.errors import InvalidInput, shown
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM

EXAMPLE = "testbed"  # the path that stands for the adapter that is shipped
EXAMPLE_FOLDER = Path(__file__).parent / "example"
_MOST_SHOWN = 100  # characters of a name
_CONTENT = "_first_content"  # kept beside the fields, so that a change of the files is noticed


@dataclass(frozen=True)
class Adapter(Intervention, category="training"):
    """Merge a LoRA adapter that somebody has trained with peft; nothing is trained here.

    For each adapted weight W (out, in), with the adapter's factors A (rank, in) and B (out, rank):

        W' = W + scaling B A,   scaling = alpha / rank, or alpha / sqrt(rank) of rsLoRA

    in float32, rounded once to the model's dtype. The folder is peft's: adapter_config.json and
    adapter_model.safetensors. Linear layers and GPT-2's Conv1D can be adapted. All else that peft
    knows (DoRA, AdaLoRA, biases, whole modules, embeddings, experts fused into one parameter) is
    refused before anything is computed. Checkpoints go by the content of the two files, not by the
    folder's name.

    Source: Hu et al. 2022, "LoRA", equation 3; Kalajdzievski 2023, "A Rank Stabilization Scaling
    Factor for Fine-Tuning with LoRA", equation 3; files as of github.com/huggingface/peft.

    Example:
        >>> str(Adapter(path="./ours"))
        "adapter(path='./ours')"
    """

    path: str = hyperparameter(
        EXAMPLE, "folder of the adapter, as peft saves it; testbed: an example for the testbed"
    )
    content: str = hyperparameter(
        "", "hash of the adapter's files, which it must have; empty: whatever it has"
    )
    any_base: bool = hyperparameter(
        False, "merge it into a model of another name than the one it says it was trained on"
    )
    title = "Adapter"

    @property
    def folder(self) -> Path:
        """Return where the adapter is."""
        return EXAMPLE_FOLDER if self.path == EXAMPLE else Path(self.path)

    @property
    def first_content(self) -> str:
        """The hash of the adapter's files when it was first asked for; "" without files."""
        if _CONTENT not in vars(self):
            try:
                vars(self)[_CONTENT] = self.content or content_of(self.folder)
            except InvalidInput:  # which ``check`` says
                return ""
        return str(vars(self)[_CONTENT])

    def params(self) -> dict[str, Any]:
        """Return every hyperparameter, with the hash of the files that are there."""
        return {**super().params(), "content": self.first_content}

    def identity(self) -> dict[str, Any]:
        """Return what decides on the weights: the content, wherever it lies."""
        return {"content": self.first_content}

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the adapter cannot be read, or is none of this model."""
        adapter = self._read()
        self._check_base(adapter.scale.base, model)
        self._matrices(model, adapter)

    @torch.no_grad()
    def apply(self, lm: LM, data: Data) -> LM:
        """Add the products of the factors to the weights, in place."""
        adapter = self._read()
        for module, weight in self._matrices(lm.model, adapter).items():
            factors = adapter.factors[module]
            change = factors.b.to(weight.device) @ factors.a.to(weight.device)
            merged = (weight.float() + factors.scaling * change).to(weight.dtype)
            if bool(weight.isfinite().all()) and not bool(merged.isfinite().all()):
                raise self._refusal(
                    f"{shown(module, _MOST_SHOWN)} is not finite in {weight.dtype} with it"
                )
            weight.copy_(merged)
        return lm

    def _read(self) -> AdapterFiles:
        try:
            adapter = read_adapter(self.folder)
        except InvalidInput as error:
            raise self._refusal(str(error)) from error
        if adapter.content != self.first_content:
            raise self._refusal(
                f"its files have the content {adapter.content}, not"
                f" {shown(self.first_content, 40)}: they were changed, or are of another adapter"
            )
        return adapter

    def _check_base(self, base: str, model: PreTrainedModel) -> None:
        name = str(model.config.name_or_path)
        if not base or self.any_base or _last_part(base) == _last_part(name):
            return
        raise self._refusal(
            f"it says it was trained on {shown(base, _MOST_SHOWN)}, but the model is"
            f" {shown(name, _MOST_SHOWN)}; if they are one, set any_base=True"
        )

    def _matrices(self, model: PreTrainedModel, adapter: AdapterFiles) -> dict[str, Tensor]:
        """Return the weight (out, in) of each adapted module: a view, if stored as (in, out).

        Raises:
            InvalidInput: there is no such module, or it is none that the factors fit.
        """
        # by name among the modules that there are: what a name means as an attribute is not asked
        modules, embeddings = dict(model.named_modules()), model.get_input_embeddings().weight
        matrices = {}
        for name, factors in adapter.factors.items():
            module = modules.get(name)
            if module is not None and getattr(module, "weight", None) is embeddings:
                known = shown(name, _MOST_SHOWN)
                raise self._refusal(
                    f"{known} has the weights of the embeddings, which are not merged"
                )
            matrices[name] = self._matrix(module, name, factors)
        return matrices

    def _matrix(self, module: nn.Module | None, name: str, factors: Factors) -> Tensor:
        known = shown(name, _MOST_SHOWN)
        if module is None:
            raise self._refusal(f"the model has no {known}: it was trained on another")
        if not isinstance(module, nn.Linear | Conv1D):
            kind = type(module).__name__
            raise self._refusal(f"{known} is a {kind}, not a linear layer: merge it with peft")
        weight: Tensor = module.weight.T if isinstance(module, Conv1D) else module.weight
        shape = (len(factors.b), factors.a.shape[1])
        if tuple(weight.shape) != shape:
            raise self._refusal(
                f"{known} is {' x '.join(map(str, weight.shape))} in the model, but"
                f" {' x '.join(map(str, shape))} in the adapter: it was trained on another"
            )
        return weight

    def _refusal(self, reason: str) -> InvalidInput:
        return InvalidInput(
            f"cannot merge the adapter at path {shown(self.path, _MOST_SHOWN)}: {reason}"
        )


def _last_part(name: str) -> str:
    """Return the last part of a model's id or folder, by which one model has several places.

    Example:
        >>> _last_part("meta-llama/Meta-Llama-3-8B"), _last_part("./meta-llama-3-8b/")
        ('meta-llama-3-8b', 'meta-llama-3-8b')
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return parts[-1].casefold() if parts else ""
