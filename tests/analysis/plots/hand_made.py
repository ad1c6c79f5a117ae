"""Figures of a few numbers made by hand, in which every branch of the drawing is taken once."""

import math
from dataclasses import replace

import numpy as np

from analysis.labels import Labels
from analysis.plots.fronts import Front, FrontGrid
from analysis.plots.heat import Heat
from analysis.plots.panels import Curve, Panel, PanelGrid
from analysis.ranking import RankedPair
from tracking.catalogue import Catalogue

TITLES = Labels(Catalogue())


def hand_made_curve(
    name: str, title: str, levels: list[float], forward: list[float], backward: list[float]
) -> Curve:
    """Return a curve whose compression was run alone at its first level only, to no effect."""
    return Curve(
        name,
        title,
        np.array(levels),
        np.array(forward),
        np.array(backward),
        np.array(levels[:1]),
        np.array(forward[:1]) + 1.0,
        [()] * len(levels),
    )


def panel_grid() -> PanelGrid:
    """Return four panels: of shares and of perplexities, some infinite; one panel is empty."""
    few, many = [0.25, 0.5], [4.0, 8.0]
    endless = math.inf
    return PanelGrid(
        name="made-up",
        caption="A $ and <b>",
        category="editing",
        rows=["mmlu", "wikitext_ppl"],
        columns=["FT", "<i>"],
        panels={
            (0, 0): Panel(
                "mmlu", "sparsity", "pruning", 0.6,
                [
                    hand_made_curve("wanda", "Wanda", few, [0.5, 0.3], [0.4, 0.2]),
                    hand_made_curve("mine", "<b>mine", few, [0.55, endless], [0.45, -endless]),
                ],
            ),
            (0, 1): Panel("mmlu", "bits", "quantization", math.nan),
            (1, 0): Panel(
                "wikitext_ppl", "sparsity", "pruning", 7.0,
                [
                    hand_made_curve("wanda", "Wanda", few, [9.0, endless], [11.0, 30.0]),
                    hand_made_curve("mine", "<b>mine", few, [endless, endless], [0.0, endless]),
                ],
            ),
            (1, 1): Panel(
                "wikitext_ppl", "bits", "quantization", math.nan,
                [hand_made_curve("gptq", "GPTQ", many, [40.0, 20.0], [50.0, 8.0])],
            ),
        },
        catalogue=Catalogue(),
        dropped=0,
    )  # fmt: skip


def heat() -> Heat:
    """Return matrices of four criteria, which no figure has in one row."""
    first = np.array([[math.nan, 0.2], [0.2, math.nan]])
    second = np.array([[0.401, 0.4], [0.4, 0.8]])
    nothing = np.full((2, 2), math.nan)
    criteria = ["edit_success", "edit_generalization", "edit_locality", "mmlu"]
    values = dict(zip(criteria, (first, second, nothing, first), strict=True))
    return Heat("made-up", "A $ and <b>", ["FT", "<b>$"], criteria, values, 0.8, 0)


def _front(title: str) -> Front:
    return Front(
        title,
        ["FT → <b>", "<b> → FT", "FT → <b>", "<b> → FT"],
        ["bits 2", "bits 2", "bits 8", "bits %{x}"],
        np.array([2.25, 2.25, 8.0, 7.0]),
        np.array([0.5, 0.4, 0.9, 0.8]),
        np.array([True, False, True, True]),
    )


def front_grid() -> FrontGrid:
    """Return five panels, one more than stand in a row; of one pair a single order was run."""
    fronts = [_front(title) for title in ("FT + <b>", "$x$", "c", "d")]
    only = Front("only", ["A → B"], ["bits 4"], np.array([4.0]), np.array([0.7]), np.array([True]))
    return FrontGrid("made-up", "A $ and <b>", "average_bits", "mmlu", [*fronts, only], 0)


def ranked_pairs() -> list[RankedPair]:
    """Return more pairs than a picture shows; the first has no level."""
    first, *rest = (
        RankedPair(f"_{number} + $", "bits 4", "either", number / 64, number / 32, ("mmlu",), 1)
        for number in range(1, 32)
    )
    return [replace(first, level=""), *rest]
