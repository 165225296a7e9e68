"""Are broken exports found, and is the broken module named?

    python benchmarks/parity_zoo.py [--rows 12] [--layers 0,1,2,3,4] [--folder FOLDER]

The recipe sms_spam/full of tests/real fine-tunes a model of 260,000 parameters on public text messages (the folder
named by SLMCHECK_TEST_DATA) and exports it to ONNX. Every fault of tests/parity/zoo.py is planted in the graph, the
local ones in each layer; the default fp32 gate and the location judge each. With --folder the trained model is kept.
Takes some five minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from slmcheck import Store, Workspace, open_recipe  # noqa: E402  the tests' folder is found first
from tests.parity.zoo_measured import Bench, table  # noqa: E402


def main() -> None:
    """Train, export, break, judge; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--layers", default="0,1,2,3,4")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["SLMCHECK_TEST_DATA"])
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        recipes = ROOT / "tests" / "real" / "recipes" / "sms_spam"
        shutil.copytree(recipes, root / "suites" / "sms_spam", dirs_exist_ok=True)
        for name in ("data", "models"):
            if not (root / name).exists():
                (root / name).symlink_to(data / name, target_is_directory=True)
        workspace = Workspace(root=root, store=Store(root / ".slmcheck" / "store" / "v1"))
        run = open_recipe(root / "suites" / "sms_spam" / "full.yaml", workspace)
        examples = run.examples()[: arguments.rows]
        bench = Bench(run.checkpoint, run.onnx("fp32").folder, examples, run.recipe, root)
        clean = bench.clean()
        print(f"clean: logit max {clean.logit_max:.2g}, gate {clean.found_by or 'passes'}, {clean.location.outcome}")
        found = []
        for one in bench.planted([int(layer) for layer in arguments.layers.split(",")]):
            found.append(one)
            print(f"{one.fault}, {one.expected}: {one.location.sentence}", file=sys.stderr, flush=True)
    print(table(found))
    for one in found:
        if not one.is_named or not one.found_by:
            print(f"MISSED {one.fault} at {one.expected}: {one.found_by} {one.location.sentence}")
    local = [one for one in found if one.expected is not None]
    caught, named = sum(bool(one.found_by) for one in found), sum(one.is_named for one in local)
    print(f"found by the gate: {caught} of {len(found)}; named right: {named} of {len(local)} local faults")


if __name__ == "__main__":
    main()
