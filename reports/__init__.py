"""From a run's records to statistics, frontiers, figures, tables and the page that shows them.

`reports.build.build` writes a report, `reports.page.paper.figures_for_paper` the figures of a paper. Nothing
here trains or imports torch; everything is a function of the records.
"""
