"""The layout of the paper's Tables 2 to 4 and 8 to 14: which numbers stand where. Only data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The layout of one of Tables 2 to 4: methods as rows, those composed with them as columns.

    Attributes:
        rows: category of the methods in rows.
        columns: category of the methods in columns.
        blocks: criteria beside each other, by block.
    """

    rows: str
    columns: str
    blocks: tuple[tuple[str, ...], ...]


COMPOSED = {
    2: Layout(
        "compression",
        "editing",
        (("edit_success", "edit_generalization"), ("edit_locality", "mmlu")),
    ),
    3: Layout("compression", "unlearning", (("wmdp", "mmlu"),)),
    4: Layout("unlearning", "editing", (("edit_success", "edit_generalization"), ("wmdp", "mmlu"))),
}
ALONE = 8  # the table of the base model and each intervention alone
# Tables 9 to 14: the categories of the first and the second intervention
SEQUENCES = {
    9: ("editing", "compression"),
    10: ("compression", "editing"),
    11: ("unlearning", "compression"),
    12: ("compression", "unlearning"),
    13: ("editing", "unlearning"),
    14: ("unlearning", "editing"),
}
# the columns of Tables 8 to 14, and the heading over each
APPENDIX = {
    "edit_success": "Editing",
    "edit_generalization": "Editing",
    "edit_locality": "Editing",
    "average_bits": "Compression",
    "wmdp": "Unlearning",
    "mmlu": "Utility",
    "wikitext_ppl": "Utility",
}
