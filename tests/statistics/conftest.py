"""Property tests draw the same cases in every session, and a busy machine fails none of them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("slmcheck", derandomize=True, deadline=None)
settings.load_profile("slmcheck")
