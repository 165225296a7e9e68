"""Does the model of this folder answer on this machine as it did where it was exported? Prints a table, writes a file.

    python selfcheck/selfcheck.py

Needs onnxruntime, numpy and tokenizers. Ends with status 0 when everything holds, 1 when something does not. The file,
selfcheck.json, becomes a row of a gate where the model was trained: slmcheck parity RUN --from selfcheck.json

A leaf module: it imports onnxruntime through the runner.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def main(argv: Sequence[str] | None = None) -> int:
    """Check, print, write; gives the exit status."""
    parser = argparse.ArgumentParser(description="Check the exported model on this machine.")
    parser.add_argument("--folder", type=Path, default=HERE.parent, help="the exported folder (default: this one)")
    parser.add_argument("--output", type=Path, default=Path("selfcheck.json"), help="where the result is written")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--provider", default="CPUExecutionProvider", help="execution provider of onnxruntime")
    arguments = parser.parse_args(argv)
    found = check(arguments.folder, threads=arguments.threads, provider=arguments.provider)
    arguments.output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(found))  # noqa: T201
    print(f"written: {arguments.output}")  # noqa: T201
    return 0 if found["passed"] else 1


def check(folder: Path, *, threads: int, provider: str) -> dict[str, Any]:
    """Ask every prompt, and compare ids, answers and times with what is expected."""
    runner = _runner(folder)
    settings = json.loads((folder / "selfcheck" / "settings.json").read_text(encoding="utf-8"))
    lines = (folder / "selfcheck" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line) for line in lines]
    damaged = [name for name, digest in settings["sha256"].items() if _sha256(folder / name) != digest]
    started = time.perf_counter()
    model = runner.Model(folder, threads=threads, provider=provider)
    times: dict[str, list[float]] = {"load": [time.perf_counter() - started]}
    _ask(model, prompts[0])  # the first call of a session takes longer
    answers = []
    for prompt in prompts:
        answer, margin, place, seconds = _ask(model, prompt)
        for name, values in seconds.items():
            times.setdefault(name, []).extend(values)
        same = answer == prompt["answer"]
        close = not same and (prompt["margin"] if place is None else place) <= settings["close_margin"]
        answers.append(
            {
                "id": prompt["id"],
                "answer": answer,
                "margin": margin,
                "ids_equal": _ids_equal(model, prompt),
                "same": same,
                "close": close,
                "same_as_trained": None if prompt["trained_answer"] is None else answer == prompt["trained_answer"],
            }
        )
    latency = {name: _spread(values) for name, values in times.items() if values}
    checks = _checks(settings, answers, damaged, latency)
    return {
        "format": 1,
        "run": settings["run"],
        "run_key": settings["run_key"],
        "export_key": settings["export_key"],
        "precision": settings["precision"],
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "runtime": f"onnxruntime {runner.ort.__version__}",
        "provider": model.provider,
        "threads": threads,
        "python": platform.python_version(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "passed": all(one["holds"] for one in checks),
        "checks": checks,
        "latency_ms": latency,
        "answers": answers,
    }


def _ask(model: Any, prompt: dict[str, Any]) -> tuple[str, float, float | None, dict[str, list[float]]]:
    """Answer, its top-2 margin, the expected margin where a text first differs, and seconds by what took them."""
    if prompt["adapter"] is not None:
        model.use_adapter(prompt["adapter"])
    started = time.perf_counter()
    if prompt["kind"] == "generate":
        written = model.write(prompt["ids"], prompt["limit"])
        steps = {"first_token": written.seconds[:1], "token": written.seconds[1:]}
        expected = prompt["tokens"]
        differing = [i for i, (one, two) in enumerate(zip(written.tokens, expected)) if one != two]  # noqa: B905
        at = differing[0] if differing else min(len(written.tokens), len(expected))
        place = prompt["margins"][at] if at < len(prompt["margins"]) else None
        return model.text_of(written.tokens), min(written.margins), place, steps
    if prompt["kind"] == "options":
        scores = model.option_scores([(ids, start) for ids, start in prompt["sequences"]])
    else:
        scores = model.label_logits([prompt["ids"]])[0]
    seconds = {"answer": [time.perf_counter() - started]}
    order = sorted(range(len(scores)), key=lambda place: -float(scores[place]))
    margin = float(scores[order[0]] - scores[order[1]])
    return prompt["options"][order[0]], margin, None, seconds


def _ids_equal(model: Any, prompt: dict[str, Any]) -> bool | None:
    """Whether this machine's tokenizers reads the prompt alike; None where the text is not known."""
    if prompt["text"] is None:
        return None
    if prompt["kind"] == "options":
        own = model.option_sequences(prompt["text"], prompt["option_texts"])
        return bool([[ids, start] for ids, start in own] == prompt["sequences"])
    return bool(model.encode(prompt["text"]) == prompt["ids"])


def _checks(
    settings: dict[str, Any], answers: list[dict[str, Any]], damaged: list[str], latency: dict[str, dict[str, float]]
) -> list[dict[str, Any]]:
    """What was looked at: name, what was found, and whether it is as it should be."""
    count = len(answers)
    read = [one["ids_equal"] for one in answers if one["ids_equal"] is not None]
    same, close = sum(one["same"] for one in answers), sum(one["close"] for one in answers)
    trained = [one["same_as_trained"] for one in answers if one["same_as_trained"] is not None]
    checks = [
        {"check": "files as exported", "found": ", ".join(damaged) or "all", "holds": not damaged},
        {"check": "same token ids", "found": f"{sum(read)} of {len(read)}", "holds": all(read)},
        {
            "check": "same answers as where it was exported",
            "found": f"{same} of {count}" + (f", {close} of the others close calls" if same < count else ""),
            "holds": same + close == count,
        },
        {"check": "same answers as the trained model", "found": f"{sum(trained)} of {len(trained)}", "holds": True},
    ]
    for name, found in latency.items():
        limit = settings["limits_ms"].get(name)
        checks.append(
            {
                "check": f"{name.replace('_', ' ')} time",
                "found": f"median {found['median']:.3g} ms, p95 {found['p95']:.3g} ms, limit {limit or 'none'}",
                "holds": limit is None or found["p95"] <= limit,
            }
        )
    return checks


def table(found: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"{found['run']} {found['precision']} on {found['processor']}, {found['runtime']}, {found['threads']} threads"
    ]
    width = max(len(one["check"]) for one in found["checks"])
    lines += [
        f"  {'ok ' if one['holds'] else 'NOT'}  {one['check']:<{width}}  {one['found']}" for one in found["checks"]
    ]
    differing = [one["id"] for one in found["answers"] if not one["same"]]
    if differing:
        lines.append(f"  answered otherwise: {', '.join(differing[:5])}{' ...' if len(differing) > 5 else ''}")
    return "\n".join(lines)


def processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(1000.0 * value for value in values)
    return {
        "median": ordered[len(ordered) // 2],
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "n": len(ordered),
    }


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _runner(folder: Path) -> Any:
    """The runner of the folder, found by its path whatever Python's own path is."""
    specification = importlib.util.spec_from_file_location("runner", folder / "runner.py")
    assert specification is not None
    assert specification.loader is not None
    sys.dont_write_bytecode = True  # the folder stays as it was written
    module = importlib.util.module_from_spec(specification)
    sys.modules["runner"] = module
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
