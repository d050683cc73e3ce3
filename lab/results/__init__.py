"""What came of a study: tables, figures, answers in words, the page. It knows nothing of how models are trained.

```
results.csv, arms.csv, times.csv, weights.csv    table.read_results(folder)
figures: [{kind: curves, evaluation: none}]      figures.parse_figures(values, Known(arms, evaluations)), figures.draw
statements: [{kind: reach, arm: a, of: b, ...}]  statements.parse_statements(values, known), statements.answers
a page of sections                               page.write_page(path, PageFacts(...), [Section(...), ...])
a table for a terminal or a document             text_tables.main_table, show_table, markdown
```
"""
