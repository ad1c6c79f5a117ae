"""Published findings as presets: for each its claim and source, cells, tests and verdict."""
