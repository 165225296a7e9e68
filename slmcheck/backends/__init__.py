"""Load a checkpoint and ask it: PyTorch or onnxruntime behind one small protocol."""

from slmcheck.backends.environment import expected_environment
from slmcheck.backends.layout import SHARED_FROM, common_beginning
from slmcheck.backends.loading import load, load_base_alone, load_merged, load_side_by_side
from slmcheck.backends.memory import free_memory, is_out_of_memory
from slmcheck.backends.protocol import Decoder, GivesLogits, LanguageModel, PaddedBatch, TokenTree

__all__ = [
    "SHARED_FROM",
    "Decoder",
    "GivesLogits",
    "LanguageModel",
    "PaddedBatch",
    "TokenTree",
    "common_beginning",
    "expected_environment",
    "free_memory",
    "is_out_of_memory",
    "load",
    "load_base_alone",
    "load_merged",
    "load_side_by_side",
]
