"""The charts of a page, each with its sentence and its data. Leaf modules: importing them imports altair."""

from slmcheck.reports.charts.confusion import heat_map
from slmcheck.reports.charts.diagnosis import diagnosis_figures
from slmcheck.reports.charts.figure import Figure, Table, javascript, static_svg
from slmcheck.reports.charts.locations import error_plot
from slmcheck.reports.charts.loss import loss_curves
from slmcheck.reports.charts.scores import gap_intervals, slice_scores
from slmcheck.reports.charts.studies import study_figures
from slmcheck.reports.charts.trend import trend
from slmcheck.reports.charts.usage import usage_over_time
from slmcheck.reports.charts.verdicts import verdict_intervals

__all__ = [
    "Figure",
    "Table",
    "diagnosis_figures",
    "error_plot",
    "gap_intervals",
    "heat_map",
    "javascript",
    "loss_curves",
    "slice_scores",
    "static_svg",
    "study_figures",
    "trend",
    "usage_over_time",
    "verdict_intervals",
]
