"""Checkpoint and examples -> predicted rows: options, likelihood, generation."""

from slmcheck.inference.options import Ask
from slmcheck.inference.prediction import CACHE_VERSION, OnRows, predict
from slmcheck.inference.saved import read_saved_predictions

__all__ = ["CACHE_VERSION", "Ask", "OnRows", "predict", "read_saved_predictions"]
