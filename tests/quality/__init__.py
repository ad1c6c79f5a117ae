"""How readable the code is and how well the tests see: counts and mutants, by commands."""
