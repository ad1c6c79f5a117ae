"""Which passes of a calibration a rehearsal runs."""

import pytest

from interventions.compression.calibration import calibrated_blocks
from interventions.data.base import Data
from interventions.lm import LM
from interventions.loops import rehearsing


class Noted:
    """Notes how many times its time the second pass of a loop stands for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def begin_pass(self) -> None:
        """Begin one; nothing is noted."""

    def end_pass(self, times: float, passes: int) -> None:
        """Note a pass that stands for others."""
        if passes:
            self.times.append(times)


def test_the_passes_of_the_longest_texts_stand_for_the_others(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = small.calibration[:6]
    lengths = sorted((len(lm.tokenizer.encode(text)) for text in texts), reverse=True)
    monkeypatch.setattr("interventions.compression.calibration._BATCH", 512)  # one text a pass
    noted, seen = Noted(), list[int]()
    with rehearsing(noted):
        _, observe = next(calibrated_blocks(lm, texts))
        noted.times.clear()
        observe(lambda name, inputs: seen.append(len(inputs)) if "q_proj" in name else None)
    assert seen == lengths[:2]
    assert noted.times == [pytest.approx(sum(lengths[2:]) / lengths[1])]
