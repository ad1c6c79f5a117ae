"""Criteria: functions of a model and the data, blind to what was applied."""
