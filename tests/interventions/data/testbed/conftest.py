"""Shared by the tests of the testbed's making: its tokenizer, made once."""

import pytest
from transformers import PreTrainedTokenizerFast

from interventions.data.testbed.architecture import make_tokenizer
from interventions.data.testbed.world import world


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as the code makes it from the world and the prose."""
    return make_tokenizer(world())
