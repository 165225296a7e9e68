"""When memory ends, and giving it back."""

from __future__ import annotations

import gc
import sys

MESSAGES = ("can't allocate memory", "out of memory", "Failed to allocate memory", "not enough memory")
"""What torch on a CPU, on a GPU, and onnxruntime say."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library reports that it could not allocate memory."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in MESSAGES)


def free_memory() -> None:
    """Give the memory of models that are no longer referenced back, on a GPU too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
