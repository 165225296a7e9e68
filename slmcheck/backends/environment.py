"""The environment of this machine, told without importing a model library."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from slmcheck.records import Checkpoint, DeviceClass, Environment

LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
"""The libraries whose version decides numbers."""
GRAPH_LIBRARIES = ("onnxruntime", "tokenizers")
"""The same for a graph."""


def this_environment(
    *, device: DeviceClass | None = None, threads: int = 1, bf16: bool = False, fp16: bool = False
) -> Environment:
    """Where work of this process is done.

    Args:
        device: The device class; None detects it: cuda where a driver and a CUDA build of torch are present.
        threads: Threads of one training or prediction.
        bf16: Whether activations are bfloat16.
        fp16: Whether activations are float16.
    """
    versions = {name: found for name in LIBRARIES if (found := _version(name)) is not None}
    dtype = "bfloat16" if bf16 else "float16" if fp16 else "float32"
    return Environment(device=device or _device(versions.get("torch")), dtype=dtype, threads=threads, versions=versions)


def expected_environment(checkpoint: Checkpoint, *, device: DeviceClass | None = None, threads: int = 1) -> Environment:
    """Where predictions of a checkpoint are made in this process: the environment that its loaded model states.

    Args:
        checkpoint: A model, an adapter, or a graph, which runs on the CPU without torch.
        device: The device class; None detects it.
        threads: Threads of a prediction.
    """
    if checkpoint.kind != "onnx":
        half = checkpoint.precision
        return this_environment(device=device, threads=threads, bf16=half == "bf16", fp16=half == "fp16")
    versions = {name: found for name in GRAPH_LIBRARIES if (found := _version(name)) is not None}
    return Environment(device="cpu", dtype=checkpoint.precision, threads=threads, versions=versions)


def worker_threads() -> int:
    """Threads that one process may use: the cores, shared among the xdist workers."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, cores() // max(1, workers))


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor's own name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _device(torch_version: str | None) -> DeviceClass:
    has_driver = Path("/dev/nvidiactl").exists()
    if has_driver and torch_version is not None and not torch_version.endswith("+cpu"):
        return "cuda"
    return "cpu"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
