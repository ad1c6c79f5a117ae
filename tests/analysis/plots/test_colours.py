import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from analysis.plots.colours import PALETTE, assign_colours
from tests.analysis.plots.panel_grids import panel_grids
from tests.analysis.synthetic import curve, frame


def colours_of(*compressions: str) -> dict[str, str]:
    runs = []
    for name in compressions:
        runs += curve("ft", name, [0.25], [0.9], [0.8])
    return assign_colours(panel_grids(frame(runs))["figure2"])


def test_methods_have_colours_of_okabe_and_ito_that_differ(published: pd.DataFrame) -> None:
    chosen = assign_colours(panel_grids(published)["figure2"])
    assert len(set(chosen.values())) == 4
    assert set(chosen.values()) <= set(PALETTE)


def test_a_compression_of_the_paper_has_the_same_colour_in_every_figure(
    published: pd.DataFrame,
) -> None:
    chosen = assign_colours(panel_grids(published)["figure2"])
    assert list(chosen) == ["Wanda", "SparseGPT", "AWQ", "GPTQ"]
    assert list(chosen.values()) == list(PALETTE[:4])
    assert colours_of("gptq") == {"GPTQ": PALETTE[3]}


def test_a_compression_that_the_paper_lacks_has_the_next_free_colour() -> None:
    assert colours_of("magnitude", "wanda", "rtn") == {
        "Wanda": PALETTE[0],
        "Magnitude": PALETTE[1],
        "RTN": PALETTE[2],
    }


def test_of_several_variants_the_first_has_the_methods_colour() -> None:
    runs = []
    for samples in (16.0, 32.0):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.8], **{"wanda.samples": samples})
    assert assign_colours(panel_grids(frame(runs))["figure2"]) == {
        "Wanda (samples=16)": PALETTE[0],
        "Wanda (samples=32)": PALETTE[1],
    }


def test_colours_are_used_again_when_there_are_too_many_methods() -> None:
    runs = []
    for samples in range(10):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.8], **{"wanda.samples": float(samples + 1)})
    chosen = assign_colours(panel_grids(frame(runs))["figure2"])
    assert list(chosen.values()) == [*PALETTE, PALETTE[1], PALETTE[2]]


def as_a_dichromat_sees(colour: str) -> np.ndarray:
    """Deuteranopia: Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB."""
    linear = np.array(
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    )
    matrix = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
    return np.asarray(np.array(matrix) @ linear)


def test_the_papers_four_compressions_differ_without_green_cones(published: pd.DataFrame) -> None:
    chosen = assign_colours(panel_grids(published)["figure2"])
    perceived = [as_a_dichromat_sees(colour) for colour in chosen.values()]
    distances = [
        np.linalg.norm(first - second)
        for index, first in enumerate(perceived)
        for second in perceived[:index]
    ]
    assert min(distances) > 0.15
