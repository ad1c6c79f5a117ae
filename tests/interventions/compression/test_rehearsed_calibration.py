"""Which passes of a calibration a rehearsal runs."""

import pytest

from interventions.compression.calibration import calibrated_blocks
from interventions.data.base import Data
from interventions.lm import LM
from interventions.loops import rehearsing
from tests.interventions.passes import NotedPasses


def test_the_passes_of_the_longest_texts_stand_for_the_others(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = small.calibration[:6]
    lengths = sorted((len(lm.tokenizer.encode(text)) for text in texts), reverse=True)
    monkeypatch.setattr("interventions.compression.calibration._BATCH", 512)  # one text a pass
    passes, tokens = NotedPasses(), list[int]()
    with rehearsing(passes):
        _, observe = next(calibrated_blocks(lm, texts))
        passes.ended.clear()
        observe(lambda name, inputs: tokens.append(len(inputs)) if "q_proj" in name else None)
    assert tokens == lengths[:2]
    ((times, count),) = passes.ended
    assert times == pytest.approx(sum(lengths[2:]) / lengths[1]) and count == 4
