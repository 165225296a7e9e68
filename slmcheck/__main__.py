"""`python -m slmcheck` is the command `slmcheck`."""

from __future__ import annotations

import sys

from slmcheck.cli import main

if __name__ == "__main__":
    sys.exit(main())
