"""Shared by the tests of compression methods."""

import pytest

from interventions.anatomy import linears
from interventions.compression.calibration import calibrated_blocks, input_statistics
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tests.interventions.compression.reference import Layers


@pytest.fixture(scope="session")
def dense(data: Data) -> Layers:
    """Return weights and inputs of every layer of the testbed's model as it is."""
    lm = LM.load(MODEL)
    layers: Layers = {}
    for i, (block, observe) in enumerate(calibrated_blocks(lm, data.calibration[:128])):
        statistics = input_statistics(observe)
        for name, linear in linears(block):
            layers[f"{i}.{name}"] = (linear.weight.clone(), statistics[name])
    return layers
