"""Record the picture of the README from the report of a real session.

    python scripts/record_picture.py .slmcheck/reports/latest

The folder is one that holds a report.json. The picture loads nothing from elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "report.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the picture and say where it lies."""
    from slmcheck.reports import export_svg, read_report

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", type=Path, help="folder with report.json")
    parser.add_argument("--output", type=Path, default=PICTURE, help="where to write (default: the README's picture)")
    parser.add_argument("--title", help="title of the window (default: the command of the session)")
    parser.add_argument("--width", type=int, default=96, help="columns (default: 96)")
    given = parser.parse_args(arguments)
    report = read_report(given.report)
    # The commit and branch of a throw-away project are nobody's business.
    picture = export_svg(replace(report, git={}), width=given.width, title=given.title or report.command)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(picture.rstrip("\n") + "\n", encoding="utf-8")
    print(given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
