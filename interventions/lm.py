"""LM: a language model, its tokenizer, and what steps remember of it: grids and edited keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BatchEncoding,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import GENERATION_CONFIG_NAME

from interventions.anatomy import context_length
from interventions.answer_labels import answer_labels
from interventions.batches import batches as batches
from interventions.edited_keys import load_edited_keys, save_edited_keys
from interventions.errors import InvalidInput
from interventions.export import export
from interventions.model_files import refusal
from interventions.model_source import check_size, check_source, only_loading
from interventions.prompt_format import PLAIN, PromptFormat
from interventions.quantization_grid import (
    ROWS,
    QuantizationGrid,
    load_grids,
    save_grids,
    share_of_zeros,
)
from interventions.tensor_files import one_pass_saving
from interventions.tokenizer import check_token_ids, load_tokenizer, save_tokenizer
from interventions.weights import check_stored_weights, load_weights

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class LM:
    """A causal language model on its way through a composition.

    Attributes:
        model: a transformers causal language model in evaluation mode.
        tokenizer: its tokenizer; padding on the left for generation is set per call.
        grids: by ``<block>.<linear>``, the grid of every quantized layer.
        prompt_format: what is put around the prompts of edits and questions; texts have nothing.
        edited_keys: by index of a block, the keys (in, edits) that AlphaEdit has written.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> lm = LM.load(MODEL)
        >>> prompt = lm.encode(["The capital of"])
        >>> lm.model(**prompt).logits.shape[-1] == lm.model.config.vocab_size
        True
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    grids: dict[str, QuantizationGrid] = field(default_factory=dict)
    prompt_format: PromptFormat = PLAIN
    edited_keys: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        source: str | Path,
        dtype: str = "float32",
        device: str = "cpu",
        revision: str | None = None,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
    ) -> LM:
        """Load a model and its tokenizer, ready to be applied to and measured.

        Args:
            source: a checkpoint folder, or a model's id on the Hugging Face hub.
            dtype: "float32", "bfloat16" or "float16": how weights are stored, by all steps.
            device: such as "cpu" or "cuda".
            revision: of the hub's model.
            trust_remote_code: whether code that comes with the model may run.
            allow_pickle: whether weights may be pickled, where there are no others.

        Raises:
            InvalidInput: there is no such folder or model, it asks for more than it may, or its
                weights or tokenizer do not fit the model.
            OSError: the weights cannot be read.

        Example:
            >>> from interventions.data.testbed import MODEL
            >>> LM.load(MODEL).model.config.model_type
            'llama'
        """
        check_source(
            source,
            revision=revision,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
        )
        model = load_weights(
            source,
            dtype=DTYPES[dtype],
            revision=revision,
            trust_remote_code=trust_remote_code,
            # None: a pickle where there are no safetensors; torch unpickles tensors only
            use_safetensors=None if allow_pickle else True,
        )
        # a folder's own generate() would not be in the checkpoints that are stored
        vars(model).pop("generate", None)
        tokenizer = load_tokenizer(source, revision, trust_remote_code)
        check_token_ids(source, tokenizer, model.get_input_embeddings().weight.shape[0])
        model = model.to(device).eval().requires_grad_(False)
        folder, place = Path(source), model.device
        edited_keys = load_edited_keys(folder, place)
        return cls(model, tokenizer, load_grids(folder, place), edited_keys=edited_keys)

    def save(self, folder: Path) -> None:
        """Write a folder that ``from_pretrained`` loads; grids and edited keys have own files."""
        with one_pass_saving():
            self.model.save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder)
        if self.grids:
            save_grids(self.grids, folder)
        if self.edited_keys:
            save_edited_keys(self.edited_keys, folder)

    def export(self, folder: str | Path, format: str = "compressed-tensors") -> float:
        """Write the packed form of a quantized model, which inference servers load.

        Args:
            folder: a new or an empty one.
            format: "compressed-tensors" or "gptq".

        Returns:
            The largest difference between a weight and what the packed form says it is, in the
            model's dtype: 0 for "compressed-tensors"; "gptq" rounds scales to float16.

        Raises:
            InvalidInput: the folder has something in it, or the format cannot hold the model.
        """
        return export(self, Path(folder), format)

    @torch.no_grad()
    def quantize(self, name: str, weight: Tensor, grid: QuantizationGrid, values: Tensor) -> None:
        """Set a layer's weight to the grid's values nearest to other values; remember the grid.

        Args:
            name: of the layer, ``<block>.<linear>``.
            weight: (out, in), changed in place.
            grid: of the layer.
            values: (out, in), what to round.
        """
        pruned, grid = self.pruned(name, weight), grid.to(weight.device)
        for start in range(0, len(weight), ROWS):
            rows = slice(start, start + ROWS)
            weight[rows] = grid.rows(rows).nearest(values[rows].to(weight.device))
        self.grids[name] = replace(grid, pruned=pruned, zeros=share_of_zeros(weight))

    def pruned(self, name: str, weight: Tensor) -> float:
        """Return the share of a layer's weights that were removed, not counting rounded zeros.

        Zeros that only rounding made are values of the layer's grid. Where more weights are 0 than
        right after rounding, something was pruned since, and all zeros count.
        """
        zeros, grid = share_of_zeros(weight), self.grids.get(name)
        if grid is None or not grid.holds(weight) or zeros > grid.zeros:
            return zeros
        return grid.pruned

    def on_grid(self, name: str, weight: Tensor, bits: int, group: int) -> bool:
        """Tell whether a layer is on a grid of that group size and at most ``bits`` bits."""
        grid = self.grids.get(name)
        return grid is not None and grid.bits <= bits and grid.group == group and grid.holds(weight)

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.model.device

    def fingerprint(self) -> str:
        """Return a hash of all weights: names, shapes, dtypes, bytes."""
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
        """Return token ids and attention mask (n, tokens) of texts.

        Args:
            texts: n of them.
            max_length: tokens at which a longer text is cut.
            padding_side: "left" for prompts that the model is to continue.
        """
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
        """Return encoded (prompt + answer), and labels (n, tokens): see ``answer_labels``.

        Args:
            pairs: plain texts, which get the model's prompt format here; an answer begins with a
                blank.
        """
        encoded, labels = answer_labels(
            self.tokenizer,
            [self.prompt_format.pair(prompt, answer) for prompt, answer in pairs],
            context_length(self.model),
            add_special_tokens=self.prompt_format.adds_special_tokens,
        )
        return encoded.to(self.device), labels.to(self.device)

    def token_losses(self, encoded: BatchEncoding, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return every label's negative log-likelihood in nats, and the mask of those that count.

        Args:
            encoded: of n texts.
            labels: (n, tokens); -100 where a token does not count.

        Returns:
            Losses and mask, both (n, tokens - 1): nothing predicts the first token.
        """
        logits = self.model(**encoded, use_cache=False).logits[:, :-1].float()
        targets = labels[:, 1:]
        losses = F.cross_entropy(
            logits.transpose(1, 2), targets, reduction="none", ignore_index=-100
        )
        return losses, targets != -100

    def text_labels(self, encoded: BatchEncoding) -> Tensor:
        """Return labels that count every token of a text, and no padding."""
        return encoded["input_ids"].masked_fill(~encoded["attention_mask"].bool(), -100)


def skeleton(
    source: str | Path,
    revision: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> PreTrainedModel:
    """Return the model without its weights (on the meta device), to check steps against.

    Args:
        source: a checkpoint folder, or a model's id on the Hugging Face hub.
        revision: of the hub's model.
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether its weights may be pickled, where there are no others.

    Raises:
        InvalidInput: there is no such folder, it is not a causal language model with a tokenizer,
            it asks for more than it may, or a folder's weights do not fit.
    """
    check_source(
        source, revision=revision, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
    )
    try:
        config = AutoConfig.from_pretrained(
            source, revision=revision, trust_remote_code=trust_remote_code
        )
        with torch.device("meta"), only_loading():
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        if (Path(source) / GENERATION_CONFIG_NAME).is_file():
            GenerationConfig.from_pretrained(source)
        assert isinstance(model, PreTrainedModel)
        if check_size(source, sum(parameter.numel() for parameter in model.parameters())):
            check_stored_weights(source, trust_remote_code)
        tokenizer = load_tokenizer(source, revision, trust_remote_code)
        check_token_ids(source, tokenizer, model.get_input_embeddings().weight.shape[0])
    except InvalidInput:
        raise
    except Exception as error:  # whatever wrong types and sizes raise in transformers
        reason = str(error).strip() or type(error).__name__
        named = isinstance(error, (OSError, ValueError))  # of another error the text is a riddle
        raise refusal(source, reason if named else f"{type(error).__name__}: {reason}") from error
    return model
