"""Load a checkpoint and ask it: PyTorch or onnxruntime behind one small protocol."""

from slmcheck.backends.loading import free_memory, load
from slmcheck.backends.protocol import Decoder, LanguageModel, PaddedBatch, TokenTree

__all__ = ["Decoder", "LanguageModel", "PaddedBatch", "TokenTree", "free_memory", "load"]
