"""Small models of every anatomy, references that share no code with ours, and the table of both.

``python -m tests.anatomies`` prints, for every anatomy and intervention, whether ours is right.
"""
