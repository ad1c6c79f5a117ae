"""The presets that test findings, as plain data, so that a command line can show them at once."""

from __future__ import annotations

PAPER = "paper"
PUBLISHED = "published"  # all of those below

# name of a preset: what it tests, in a line
TITLES = {
    "weaker-first": "Of pruning and quantization, the weaker first is better",
    "sparsify-first": "Sparsify before quantizing",
    "quantization-restores": "4 bits bring back what was unlearned, 8 bits do not",
    "finetuning-erases": "Fine-tuning erases edits, those of AlphaEdit most",
    "relearning": "A few steps of training bring back what was unlearned",
    "unlearning-sparse": "Unlearning is weaker on a sparse model",
    "merging-or-sequence": "Merging an edited and an unlearned model beats doing both in sequence",
    "three-orders": "Edit, unlearn, compress: the order of three matters",
}
