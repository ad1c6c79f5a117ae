"""The table's rows: every intervention's check, and the facts that they lean on."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from pathlib import Path

from interventions.lm import LM
from tests.anatomies import compressed, merging, trained
from tests.anatomies.cells import Cell, Check, cell, judged
from tests.anatomies.facts import FACTS, TOKENIZER_FACTS
from tests.anatomies.texts import tiny_data
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES, build

CHECKS: dict[str, Check] = {
    "magnitude": compressed.magnitude,
    "wanda": compressed.wanda,
    "sparsegpt": compressed.sparsegpt,
    "rtn": compressed.rtn,
    "hqq": compressed.hqq,
    "gptq": compressed.gptq,
    "awq": compressed.awq,
    "ft": trained.ft,
    "lora": trained.lora,
    "memit": trained.memit,
    "alphaedit": trained.alphaedit,
    "ga": trained.ga,
    "gd": trained.gd,
    "rmu": trained.rmu,
    "finetune": trained.finetune,
    "npo": trained.npo,
    "simnpo": trained.simnpo,
    "merge": merging.merge,
}
METHODS = (*CHECKS, *FACTS)


def table(name: str, folder: Path, methods: Iterable[str] = METHODS) -> dict[str, Cell]:
    """Return an anatomy's cells by column.

    Args:
        name: of the anatomy.
        folder: in which its checkpoint is, or will be.
        methods: columns: interventions, and facts ("inputs", "counted", …).
    """
    checkpoint, data = build(name, folder), tiny_data()
    cells = {}
    for method in methods:
        with warnings.catch_warnings():
            # peft warns of Conv1D layers and tied embeddings; a warning is no verdict
            warnings.simplefilter("ignore")
            if method in FACTS:
                fact = functools.partial(FACTS[method], name, checkpoint, data)
                cells[method] = judged(fact)
            else:
                cells[method] = cell(name, method, checkpoint, data, CHECKS[method])
    return cells


def tokenizer_table(kind: str) -> dict[str, Cell]:
    """Return the facts about one kind of tokenizer."""
    cells = {}
    for name, check in TOKENIZER_FACTS.items():
        words = tokenizer(kind)
        words.pad_token = words.pad_token or words.eos_token
        lm = LM(ANATOMIES["llama"].model(), words)
        cells[name] = judged(functools.partial(check, lm, tiny_data()))
    return cells
