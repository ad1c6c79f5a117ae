"""The paper's six findings as hypotheses: the compositions they need, their tests, the verdicts."""
