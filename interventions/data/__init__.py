"""Data to intervene on and to judge by."""
