"""What having slmcheck installed costs a pytest session that does not use it, in CPU milliseconds.

    python benchmarks/plugin_start.py [--repeats 15]

Sessions with the plugin and without it (`-p no:slmcheck`) alternate; both run one test that passes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def cpu_seconds(folder: Path, *arguments: str) -> float:
    """User and system time of one session."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the medians and their difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text("def test_it():\n    assert True\n")
        for arguments in ((), ("-p", "no:slmcheck")):
            cpu_seconds(folder, *arguments)
        pairs = [(cpu_seconds(folder), cpu_seconds(folder, "-p", "no:slmcheck")) for _ in range(repeats)]
    with_plugin, without = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    added = 1000 * statistics.median(one - other for one, other in pairs)
    print(f"with slmcheck {with_plugin:.0f} ms, without {without:.0f} ms; it adds {added:.0f} ms of CPU (median)")


if __name__ == "__main__":
    main()
