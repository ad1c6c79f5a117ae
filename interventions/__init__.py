"""Interventions on language models, and the criteria that judge them; knows neither MLflow nor Optuna."""
