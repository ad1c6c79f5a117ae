"""LM: a model, its tokenizer, and the quantization grids that its weights lie on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

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

from interventions.errors import InvalidInput

T = TypeVar("T")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROWS = 512  # of a layer that are looked at together: more would only take more memory
_GRIDS, _GRIDS_META = "quantization_grids.safetensors", "quantization_grids.json"


@dataclass(frozen=True)
class QuantizationGrid:
    """The values that a quantized layer's weights can take: scale x (integer - zero), per group of inputs.

    Attributes:
        bits: width of the integers.
        group: inputs that share a scale.
        scale, zero: (out, in / group).
        pruned: share of the weights that had been removed before they were rounded.
        zeros: share of the weights that were zero once they were: those, and what rounding made zero.
    """

    bits: int
    group: int
    scale: Tensor
    zero: Tensor
    pruned: float = 0.0
    zeros: float = 0.0

    def rows(self, rows: slice) -> QuantizationGrid:
        """The grid of some of the layer's outputs."""
        return replace(self, scale=self.scale[rows], zero=self.zero[rows])

    def integers(self, weight: Tensor) -> Tensor:
        """The integer (out, in), as float32, of the grid value nearest to each weight."""
        grouped = weight.float().unflatten(1, (-1, self.group))  # (out, in / group, group)
        integers = (grouped / self.scale.float()[..., None]).round_() + self.zero.float()[..., None]
        return integers.clamp_(0, 2**self.bits - 1).flatten(1)

    def values(self, integers: Tensor) -> Tensor:
        """The weights (out, in), float32, of integers: scale x (integer - zero)."""
        grouped = integers.float().unflatten(1, (-1, self.group)) - self.zero.float()[..., None]
        return (grouped * self.scale.float()[..., None]).flatten(1)

    def nearest(self, weight: Tensor) -> Tensor:
        """The grid value nearest to each weight (out, in), in the weight's dtype."""
        return self.values(self.integers(weight)).to(weight.dtype)

    def holds(self, weight: Tensor) -> bool:
        """Whether every weight (out, in) lies on the grid, as its dtype can store it, or to a thousandth of a step."""
        if weight.shape != (self.scale.shape[0], self.scale.shape[1] * self.group):
            return False
        return all(
            self.rows(slice(some, some + ROWS))._holds(weight[some : some + ROWS])
            for some in range(0, len(weight), ROWS)
        )

    def _holds(self, weight: Tensor) -> bool:
        found = torch.zeros_like(weight, dtype=torch.bool)
        integers = self.integers(weight)
        for step in (
            0,
            1,
            -1,
        ):  # at 8 bits bfloat16 may store a value nearer to the next one than to itself
            stored = self.values((integers + step).clamp_(0, 2**self.bits - 1)).to(weight.dtype)
            off = (weight.float() - stored.float()).unflatten(1, (-1, self.group)).abs()
            found |= (off <= 1e-3 * self.scale.float()[..., None]).flatten(1)
            if bool(found.all()):
                return True
        return False


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
    grids: dict[str, QuantizationGrid] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        source: str | Path,
        dtype: str = "float32",
        device: str = "cpu",
        revision: str | None = None,
    ) -> LM:
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
            tensors = {
                f"{n}/{k}": getattr(g, k).contiguous()
                for n, g in self.grids.items()
                for k in ("scale", "zero")
            }
            save_file(tensors, folder / _GRIDS)
            meta = {
                n: {k: getattr(g, k) for k in ("bits", "group", "pruned", "zeros")}
                for n, g in self.grids.items()
            }
            (folder / _GRIDS_META).write_text(json.dumps(meta))

    def export(self, folder: str | Path, format: str = "compressed-tensors") -> None:
        """Write the packed form of a quantized model: "compressed-tensors" or "gptq"; see ``export.export``."""
        from interventions.export import export

        export(self, Path(folder), format)

    @torch.no_grad()
    def quantize(self, name: str, weight: Tensor, grid: QuantizationGrid, values: Tensor) -> None:
        """Set a layer's weight (out, in) to the values of a grid nearest to ``values``, and remember the grid."""
        pruned = self.pruned(name, weight)
        for some in range(0, len(weight), ROWS):
            rows = slice(some, some + ROWS)
            weight[rows] = grid.rows(rows).nearest(values[rows])
        self.grids[name] = replace(grid, pruned=pruned, zeros=_zeros(weight))

    def pruned(self, name: str, weight: Tensor) -> float:
        """Share of a layer's weights that were removed; zeros that only rounding made are values of its grid.

        Where more weights are zero than right after rounding, something was pruned since, and all zeros count.
        """
        zeros, grid = _zeros(weight), self.grids.get(name)
        if grid is None or not grid.holds(weight) or zeros > grid.zeros:
            return zeros
        return grid.pruned

    def on_grid(self, name: str, weight: Tensor, bits: int, group: int) -> bool:
        """Whether a layer's weights lie on its grid, and that has at most so many bits, in groups of that size."""
        grid = self.grids.get(name)
        return grid is not None and grid.bits <= bits and grid.group == group and grid.holds(weight)

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

    def encode(
        self,
        texts: Sequence[str],
        max_length: int | None = None,
        padding_side: Literal["left", "right"] = "right",
    ) -> BatchEncoding:
        """Token ids and attention mask (n, tokens); what is to be gone on with is padded on the left."""
        return self.tokenizer(
            list(texts),
            return_tensors="pt",
            padding=True,
            padding_side=padding_side,
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
        losses = F.cross_entropy(
            logits.transpose(1, 2), targets, reduction="none", ignore_index=-100
        )
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
        raise InvalidInput(
            f"cannot read a causal language model from {str(source)!r}: {first_line}"
        ) from error
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


def _load_grids(folder: Path) -> dict[str, QuantizationGrid]:
    if not (folder / _GRIDS).exists():
        return {}
    tensors = load_file(folder / _GRIDS)
    meta = json.loads((folder / _GRIDS_META).read_text())
    return {
        n: QuantizationGrid(scale=tensors[f"{n}/scale"], zero=tensors[f"{n}/zero"], **m)
        for n, m in meta.items()
    }


def _zeros(weight: Tensor) -> float:
    return 1 - int(weight.count_nonzero()) / weight.numel()
