"""LM: a model, its tokenizer, and the quantization grids that its weights lie on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BatchEncoding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from interventions.registry import InvalidInput

T = TypeVar("T")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_GRIDS, _GRIDS_META = "quantization_grids.safetensors", "quantization_grids.json"


@dataclass(frozen=True)
class Grid:
    """The values that a quantized layer's weights can take: scale x (integer - zero), per group of inputs.

    Attributes:
        bits: width of the integers.
        group: inputs that share a scale.
        scale, zero: (out, in / group).
    """

    bits: int
    group: int
    scale: Tensor
    zero: Tensor

    def holds(self, weight: Tensor) -> bool:
        """Whether every weight (out, in) lies on the grid, to a thousandth of a step."""
        grouped = weight.float().unflatten(1, (-1, self.group))  # (out, in / group, group)
        integers = grouped / self.scale.float()[..., None] + self.zero.float()[..., None]
        nearest = integers.round().clamp(0, 2**self.bits - 1)
        return bool((integers - nearest).abs().max() < 1e-3)


@dataclass
class LM:
    """A causal language model on its way through a composition.

    Attributes:
        model: a transformers causal language model in evaluation mode.
        tokenizer: its tokenizer; padding on the left for generation is set per call.
        grids: by ``<block>.<linear>``, the grid of every quantized layer.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    grids: dict[str, Grid] = field(default_factory=dict)

    @classmethod
    def load(cls, source: str | Path, dtype: str = "float32", device: str = "cpu", revision: str | None = None) -> LM:
        """Load a checkpoint folder or a Hugging Face id; the dtype is the run's, for the whole composition."""
        model = AutoModelForCausalLM.from_pretrained(source, dtype=DTYPES[dtype], revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        model = model.to(device).eval().requires_grad_(False)
        return cls(model, tokenizer, _load_grids(Path(source)))

    def save(self, folder: Path) -> None:
        """Write a folder that plain ``from_pretrained`` loads (safetensors, tokenizer), grids beside them."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.grids:
            tensors = {f"{n}/{k}": getattr(g, k).contiguous() for n, g in self.grids.items() for k in ("scale", "zero")}
            save_file(tensors, folder / _GRIDS)
            meta = {name: {"bits": grid.bits, "group": grid.group} for name, grid in self.grids.items()}
            (folder / _GRIDS_META).write_text(json.dumps(meta))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def fingerprint(self) -> str:
        """A hash of all weights: names, shapes, dtypes, bytes."""
        hashed = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            hashed.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            hashed.update(tensor.contiguous().cpu().view(torch.uint8).numpy())
        return hashed.hexdigest()[:32]

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> BatchEncoding:
        """Token ids and attention mask (n, tokens), padded on the right."""
        return self.tokenizer(
            list(texts),
            return_tensors="pt",
            padding=True,
            padding_side="right",
            truncation=max_length is not None,
            max_length=max_length,
            return_token_type_ids=False,
        ).to(self.device)

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> tuple[BatchEncoding, Tensor]:
        """Encode prompt + answer; the labels (n, tokens) are -100 on prompt and padding."""
        encoded = self.encode([prompt + answer for prompt, answer in pairs])
        prompts = self.encode([prompt for prompt, _ in pairs])
        lengths = prompts["attention_mask"].sum(1, keepdim=True)
        position = torch.arange(encoded["input_ids"].shape[1], device=self.device)
        counted = encoded["attention_mask"].bool() & (position >= lengths)
        return encoded, encoded["input_ids"].masked_fill(~counted, -100)

    def token_losses(self, encoded: BatchEncoding, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood in nats of every label (n, tokens - 1), and the mask of those that count."""
        logits = self.model(**encoded, use_cache=False).logits[:, :-1].float()
        targets = labels[:, 1:]
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=-100)
        return losses, targets != -100

    def text_labels(self, encoded: BatchEncoding) -> Tensor:
        """Labels that count every token of a text, and no padding."""
        return encoded["input_ids"].masked_fill(~encoded["attention_mask"].bool(), -100)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive slices of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def skeleton(source: str | Path, revision: str | None = None) -> PreTrainedModel:
    """The model's anatomy without its weights (meta device): what steps are checked against before anything loads.

    Raises:
        InvalidInput: there is no such folder, or it is not a causal language model.
    """
    try:
        config = AutoConfig.from_pretrained(source, revision=revision)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise InvalidInput(f"cannot read a causal language model from {str(source)!r}: {first_line}") from error
    assert isinstance(model, PreTrainedModel)
    return model


def file_digest(paths: Iterable[Path]) -> str:
    """A hash of the contents of files."""
    hashed = hashlib.sha256()
    for path in sorted(paths):
        hashed.update(path.name.encode())
        with path.open("rb") as file:
            hashed.update(hashlib.file_digest(file, "sha256").digest())
    return hashed.hexdigest()[:32]


def _load_grids(folder: Path) -> dict[str, Grid]:
    if not (folder / _GRIDS).exists():
        return {}
    tensors = load_file(folder / _GRIDS)
    meta = json.loads((folder / _GRIDS_META).read_text())
    return {n: Grid(m["bits"], m["group"], tensors[f"{n}/scale"], tensors[f"{n}/zero"]) for n, m in meta.items()}
