"""What a training process takes: time, memory, tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int | None:
    """The peak resident size of this process; None where the system does not tell.

    Linux: VmHWM, since `ru_maxrss` is inherited from the parent that started the process.
    """
    return _status_bytes("VmHWM")


def resident_bytes() -> int | None:
    """The resident size of this process now."""
    return _status_bytes("VmRSS")


@dataclass(frozen=True, kw_only=True)
class GpuUse:
    """What a GPU does at a moment."""

    utilisation: float | None
    """Share of the last second in which it was busy, from 0 to 1; None without nvidia-ml-py."""
    allocated_bytes: int


def gpu_reader(device: str) -> Callable[[], GpuUse | None]:
    """Gives what the GPU of this process does; nothing on other devices."""
    if device != "cuda":
        return lambda: None
    import torch

    utilisation = _utilisation_reader()
    return lambda: GpuUse(utilisation=utilisation(), allocated_bytes=int(torch.cuda.memory_allocated()))


def _utilisation_reader() -> Callable[[], float | None]:
    try:
        import pynvml
    except ImportError:
        return lambda: None
    import torch

    pynvml.nvmlInit()
    # The numbering of NVML knows nothing of CUDA_VISIBLE_DEVICES; the identity of the device does.
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    return lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100.0


class Clock:
    """Seconds and processor seconds of a training, over all its attempts."""

    def __init__(self, *, seconds_before: float = 0.0, cpu_seconds_before: float = 0.0) -> None:
        """Start; the arguments are what earlier attempts took up to the step at which this one resumes."""
        self._seconds, self._cpu = seconds_before, cpu_seconds_before
        self._start, self._cpu_start = time.monotonic(), time.process_time()

    def seconds(self) -> float:
        """Seconds so far."""
        return self._seconds + time.monotonic() - self._start

    def cpu_seconds(self) -> float:
        """Processor seconds so far, all threads."""
        return self._cpu + time.process_time() - self._cpu_start


def _status_bytes(name: str) -> int | None:
    try:
        text = _STATUS.read_text(encoding="ascii")
    except FileNotFoundError:
        return _peak_of_rusage() if name == "VmHWM" else None
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def _peak_of_rusage() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, where /proc is missing
