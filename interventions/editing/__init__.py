"""Editing: make the model answer some prompts anew, and leave the rest."""
