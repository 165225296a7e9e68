"""No progress bars, log lines and announcements of the libraries while they work for us.

A leaf module: it imports transformers (through the loader) at its top.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from slmcheck.backends.pytorch_loading import quiet


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """What the libraries warn of is checked by us; what they announce of their own future is not for the user."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
