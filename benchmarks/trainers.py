"""Ways to fine-tune side by side: full, LoRA, QLoRA, bottleneck, DoRA and IA3 on two tasks and two base models.

    SLMCHECK_TEST_DATA=DIR python benchmarks/trainers.py [--updates 200] [--rows 500] [--base NAME] [--task NAME] \
        [--trainer NAME] [--family] [--memory] [--work DIR] [--json FILE]

DIR holds `data/sms_spam`, `data/go_emotions_ekman`, `data/e2e_nlg` and `models/stories260k`; the other base model is
the shipped slmcheck/tiny. Emotions are the five without neutral and disgust. Each line is one training in a process of
its own, found in the store of `--work` if it was made before: balanced accuracy on the first `--rows` test rows with
its 95 % interval, trained weights, peak memory of the training process, processor seconds. `--family` trains two
adapters of one base model (messages and sentences about restaurants), loads them side by side and checks that they do
not disturb each other. `--memory` measures LoRA beside QLoRA where weights take more room than libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slmcheck.evaluation import Run, open_recipe
from slmcheck.records import DataSpec, EvaluationSpec, Json, Recipe
from slmcheck.storage import Store
from slmcheck.training.memory import IMPORTS_BYTES
from slmcheck.workspace import Workspace

TRAINERS: Mapping[str, tuple[str, float, Mapping[str, Json]]] = {
    "full": ("full", 3e-3, {}),
    "lora": ("lora", 3e-3, {}),
    "qlora": ("qlora", 3e-3, {}),
    "bottleneck": ("adapters", 3e-3, {"method": "bottleneck", "bottleneck": {"size": 16}}),
    "dora": ("adapters", 3e-3, {"method": "dora"}),
    "ia3": ("adapters", 3e-2, {"method": "ia3"}),
}
"""Trainer, learning rate and options: rates that suit models this small."""
EMOTIONS = ("anger", "fear", "joy", "sadness", "surprise")


def main() -> None:
    """Train what is asked for and print the table."""
    asked = _arguments()
    data = Path(os.environ["SLMCHECK_TEST_DATA"])
    work = asked.work or Path(tempfile.mkdtemp(prefix="slmcheck-trainers-"))
    workspace = Workspace(root=work, store=Store(work / "store"))
    if asked.memory:
        _memory(work, workspace)
        return
    bases = {"stories260k": str(data / "models" / "stories260k"), "tiny": "slmcheck/tiny"}
    tasks = {"sms_spam": _messages(data), "emotions": _emotions(data, work)}
    print(f"{'base model':12} {'task':10} {'trainer':11} {'balanced accuracy':>24} ", end="")
    print(f"{'trained':>9} {'peak MB':>8} {'CPU s':>6}")
    rows: list[dict[str, Json]] = []
    for base in bases if asked.base is None else [asked.base]:
        for task in tasks if asked.task is None else [asked.task]:
            for trainer in TRAINERS if asked.trainer is None else [asked.trainer]:
                recipe = _recipe(
                    f"{base}/{task}-{trainer}", bases[base], tasks[task], trainer, asked.updates, asked.rows
                )
                rows.append(_line(base, task, trainer, open_recipe(recipe, workspace)))
        if asked.family:
            _family(base, bases[base], data, asked.updates, workspace)
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _line(base: str, task: str, trainer: str, run: Run) -> dict[str, Json]:
    score, spent = run.balanced_accuracy, run.resources
    low, high = score.interval
    peak, trained = spent.peak_memory_bytes or 0, spent.trained_parameters or 0
    shown = f"{float(score):.3f} [{low:.3f}, {high:.3f}]"
    print(
        f"{base:12} {task:10} {trainer:11} {shown:>24} {trained:9,} {peak / 2**20:8.0f} {spent.cpu_seconds or 0:6.0f}",
        flush=True,
    )
    return {
        "base": base,
        "task": task,
        "trainer": trainer,
        "balanced_accuracy": float(score),
        "low": low,
        "high": high,
        "trained_parameters": trained,
        "peak_memory_bytes": peak,
        "cpu_seconds": spent.cpu_seconds,
        "seconds": spent.seconds,
    }


def _family(base: str, base_model: str, data: Path, updates: int, workspace: Workspace) -> None:
    from slmcheck.evaluation.together import together

    runs = []
    for task, spec in (("sms_spam", _messages(data)), ("restaurants", _restaurants(data))):
        runs.append(open_recipe(_recipe(f"{base}/{task}-lora", base_model, spec, "lora", updates, 200), workspace))
    found = together(runs)
    print(f"\n{base}: {len(runs)} adapters on one base model")
    for name, scores in found.scores.items():
        print(f"  {name}: " + ", ".join(f"{one.metric.name} {float(one):.4g}" for one in scores))
    for check in found.checks:
        print(f"  {'holds' if check.passed else 'FAILS'}: {check.text}")


def _memory(work: Path, workspace: Workspace) -> None:
    """Peak memory of LoRA and QLoRA on a random Llama of 134 million weights, short rows, one at a time."""
    base = work / "llama-134m"
    if not (base / "model.safetensors").is_file():
        code = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; "
        code += f"from trainers import write_llama; write_llama({str(base)!r})"
        subprocess.run([sys.executable, "-c", code], check=True)
    rows = [{"text": f"number {index} " + "word " * 9, "label": "odd" if index % 2 else "even"} for index in range(12)]
    for name, part in (("train", rows[:6]), ("validation", rows[6:9]), ("test", rows[9:])):
        (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    bare = IMPORTS_BYTES / 2**20
    print(f"above the imports (about {bare:.0f} MB):")
    for trainer in ("lora", "qlora"):
        task = replace(_task(_spec(work, "Text: {text}\nLabel:", "label")), per_device_train_batch_size=1)
        run = open_recipe(
            replace(_recipe(f"memory/{trainer}", str(base), task, trainer, 3, 3), eval_steps=3), workspace
        )
        print(f"  {trainer:6} training {(run.resources.peak_memory_bytes or 0) / 2**20 - bare:6.0f} MB")
    for file in sorted((work / "store").glob("bases/*/*/preparation.json")):
        peak = json.loads(file.read_text(encoding="utf-8"))["peak_memory_bytes"]
        print(f"  qlora  quantising, once, in a process of its own {peak / 2**20 - bare:6.0f} MB")


def write_llama(folder: str) -> None:
    """Write a Llama of 134 million random weights with a byte tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from slmcheck.testing.small_model import write_byte_tokenizer

    write_byte_tokenizer(Path(folder))
    torch.manual_seed(0)
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    LlamaForCausalLM(LlamaConfig(**sizes, **heads, **special)).save_pretrained(folder)


def _recipe(name: str, base_model: str, task: Recipe, trainer: str, updates: int, rows: int) -> Recipe:
    plugin, rate, options = TRAINERS[trainer]
    test = tuple(f"{source}[:{rows}]" for source in task.data.test)
    return replace(
        task,
        name=name,
        base_model=base_model,
        trainer=plugin,
        options=options,
        learning_rate=rate,
        max_steps=updates,
        data=replace(task.data, test=test),
    )


def _task(data: DataSpec, **more: object) -> Recipe:
    return Recipe(
        name="task",
        base_model="",
        trainer="",
        data=data,
        lr_scheduler_type="cosine",
        warmup_ratio=0.1,
        per_device_train_batch_size=16,
        **{"task": "classification", **more},  # type: ignore[arg-type]
    )


def _messages(data: Path) -> Recipe:
    folder = data / "data" / "sms_spam"
    return _task(_spec(folder, "Text: {text}\nLabel:", "label"))


def _emotions(data: Path, work: Path) -> Recipe:
    folder = work / "emotions"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        lines = (data / "data" / "go_emotions_ekman" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["label"] in EMOTIONS]
        (folder / f"{split}.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return _task(_spec(folder, "Text: {text}\nLabel:", "label"))


def _restaurants(data: Path) -> Recipe:
    spec = _spec(data / "data" / "e2e_nlg", "Facts: {mr}\nSentence:", "target")
    return _task(spec, task="generation", evaluation=EvaluationSpec(max_new_tokens=64))


def _spec(folder: Path, template: str, answer: str) -> DataSpec:
    return DataSpec(
        train=(str(folder / "train.jsonl"),),
        validation=(f"{folder / 'validation.jsonl'}[:300]",),
        test=(str(folder / "test.jsonl"),),
        text_template=template + " {" + answer + "}",
        answer=answer,
    )


def _arguments() -> argparse.Namespace:
    if "SLMCHECK_TEST_DATA" not in os.environ:
        sys.exit("SLMCHECK_TEST_DATA is not set: it names a folder with data/ and models/ of real public data")
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--updates", type=int, default=200, help="updates of each training (default: 200)")
    parser.add_argument("--rows", type=int, default=500, help="test rows of each score (default: 500)")
    parser.add_argument("--base", choices=("stories260k", "tiny"), help="one base model only")
    parser.add_argument("--task", choices=("sms_spam", "emotions"), help="one task only")
    parser.add_argument("--trainer", choices=tuple(TRAINERS), help="one trainer only")
    parser.add_argument("--family", action="store_true", help="two adapters of one base model as well")
    parser.add_argument(
        "--memory", action="store_true", help="only the memory of LoRA and QLoRA, on 134 million weights"
    )
    parser.add_argument("--work", type=Path, help="where the store lies (default: a new folder)")
    parser.add_argument("--json", type=Path, help="write the table as JSON too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
