"""Unlearning: make the model forget a domain, and keep the rest."""
