"""The report as HTML, Markdown, LaTeX, figures and CSV files."""
