"""The paper's tables, as Markdown, CSV and LaTeX."""
