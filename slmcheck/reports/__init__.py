"""Pure functions of a `Report`: terminal, report.json, Markdown, HTML and model card.

Only the HTML page reaches altair and vl_convert, and only when it is made.
"""

from slmcheck.reports.json import read as read_report
from slmcheck.reports.terminal import export_svg
from slmcheck.reports.terminal import render as render_terminal
from slmcheck.reports.writing import FORMATS, Format, write_all

__all__ = ["FORMATS", "Format", "export_svg", "read_report", "render_terminal", "write_all"]
