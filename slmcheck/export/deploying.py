"""The folder to deploy: what stands beside an exported graph so that it runs, and proves itself, without slmcheck."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from slmcheck.backends.onnx_folder import DATA, FACTS, GRAPH, GraphFacts, read_facts
from slmcheck.errors import ExportError, InputError
from slmcheck.records import Json, to_json

SCRIPTS = Path(__file__).parent / "deployed"
RUNNER, SELFCHECK, CARD, TASK = "runner.py", "selfcheck", "README.md", "task.json"
MOST_PROMPTS = 200
"""Prompts of a self-check, at most."""
CLOSE_MARGINS: Mapping[str, float] = {
    "fp32": 1e-3,
    "fp16": 0.05,
    "bf16": 0.3,
    "int8": 0.2,
    "int8-dynamic": 0.5,
    "int4": 0.5,
}
"""How far the best answer may lie above the second, in nats, for another processor to choose otherwise by rounding.

Kernels of other processors add in another order (1e-5 in fp32) and round activations of the integer precisions
otherwise; see docs/explanation/parity.md for what each precision moves.
"""

AskedKind = Literal["options", "generate", "head"]


@dataclass(frozen=True, kw_only=True)
class DeployedTask:
    """What a deployed model is for and how it is asked; read by the runner."""

    format: int = 1
    name: str
    kind: AskedKind
    template: Mapping[str, Json] | None
    """Literal texts and fields of the prompt, in turn; None for chat messages."""
    options: tuple[str, ...]
    option_texts: tuple[str, ...] | None
    """The options as they follow a prompt; None where they depend on the row."""
    normalization: str
    max_new_tokens: int
    stop: tuple[str, ...]
    prefix: tuple[int, ...]
    suffix: tuple[int, ...] = ()
    start_id: int
    """Stands first where neither tokenizer nor prompt gives a first token."""
    end_id: int
    eos_ids: tuple[int, ...]
    context_tokens: int | None
    vocabulary_size: int


@dataclass(frozen=True, kw_only=True)
class CheckedPrompt:
    """One prompt of a self-check."""

    id: str
    kind: AskedKind
    text: str | None
    """The prompt; None where only its ids are known, as for chat with options."""
    ids: tuple[int, ...]
    options: tuple[str, ...] = ()
    option_texts: tuple[str, ...] | None = None
    sequences: tuple[tuple[tuple[int, ...], int], ...] = ()
    """For each option, the ids of prompt and option and where the option begins."""
    limit: int = 0
    """Tokens that a text may have."""
    adapter: str | None = None
    """The adapter that answers it; None where the graph does."""
    trained_answer: str | None = None
    """What the trained model answered, before it was exported."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Longest 95th percentile of a time on the target device, in milliseconds; None has no limit."""

    first_token: float | None = None
    """From a prompt to its first token."""
    token: float | None = None
    """Each further token."""
    answer: float | None = None
    """Choosing among options, all of them together."""
    load: float | None = None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose export it is."""

    run: str
    run_key: str | None
    export_key: str
    base_model: str
    trainer: str
    task: str
    exporter: str
    scores: tuple[tuple[str, str, str], ...] = field(default=())
    """Metric, value and interval of what is known of the model and of this export, for the card."""


def prepare_folder(directory: Path) -> None:
    """Raise unless a folder can be written into: it is new, empty, or holds an earlier export.

    Raises:
        InputError: If it holds something else, which would be mixed with the export.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"'{directory}' is a file.\nName the folder that the export is written to.")
    present = sorted(file.name for file in directory.iterdir()) if directory.is_dir() else []
    if present and FACTS not in present:
        raise InputError(
            f"'{directory}' holds {len(present)} other files, {present[0]} among them.\n"
            "An export is a folder of its own: name an empty or a new one."
        )


def write_folder(exported: Path, directory: Path, task: DeployedTask, identity: Identity) -> GraphFacts:
    """Copy an exported graph and put task, runner and card beside it.

    Raises:
        CheckpointError: If the export is damaged.
        ExportError: If the disk refuses.
    """
    facts = read_facts(exported)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / DATA).unlink(missing_ok=True)
        shutil.rmtree(directory / SELFCHECK, ignore_errors=True)
        shutil.rmtree(directory / "adapters", ignore_errors=True)
        for name in (*facts.sha256, FACTS):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(exported / name, directory / name)
        shutil.copyfile(SCRIPTS / "runner.py", directory / RUNNER)
        write_document(directory / TASK, to_json(task))
        (directory / CARD).write_text(card(facts, task, identity), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"The export cannot be written to {directory}: {error.strerror or error}.") from error
    return facts


def write_adapter_task(directory: Path, name: str, task: DeployedTask) -> None:
    """Put the task of an adapter beside its file."""
    write_document(directory / "adapters" / f"{name}.json", to_json(task))


def write_selfcheck(
    directory: Path, prompts: Sequence[CheckedPrompt], identity: Identity, limits: Limits
) -> tuple[str, ...]:
    """Ask the deployed model every prompt with its own runner, and write down what it answers.

    Returns:
        Ids of the prompts to which the fp32 graph answers otherwise than the trained model by more than rounding.

    Raises:
        ExportError: If the runner fails.
    """
    facts = read_facts(directory)
    close = CLOSE_MARGINS.get(facts.precision, max(CLOSE_MARGINS.values()))
    asked = ask(directory, prompts)
    folder = directory / SELFCHECK
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(entry, ensure_ascii=False) for entry in asked]
    (folder / "prompts.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    shutil.copyfile(SCRIPTS / "selfcheck.py", folder / "selfcheck.py")
    write_document(
        folder / "settings.json",
        {
            "format": 1,
            "run": identity.run,
            "run_key": identity.run_key,
            "export_key": identity.export_key,
            "precision": facts.precision,
            "close_margin": close,
            "limits_ms": to_json(limits),
            "sha256": {name: facts.sha256[name] for name in (GRAPH, DATA, "tokenizer.json") if name in facts.sha256},
        },
    )
    return tuple(
        str(entry["id"])
        for entry in asked
        if entry["trained_answer"] not in (None, entry["answer"]) and float(str(entry["margin"])) > close
    )


def ask(directory: Path, prompts: Sequence[CheckedPrompt]) -> list[dict[str, Json]]:
    """What the model of a folder answers to prompts: each with its answer and top-2 margin.

    Raises:
        ExportError: If the runner fails.
    """
    from slmcheck.export.deployed.runner import Model

    found: list[dict[str, Json]] = []
    try:
        model = Model(directory)
        for prompt in prompts:
            entry = to_json(prompt)
            assert isinstance(entry, dict)
            if prompt.adapter is not None:
                model.use_adapter(prompt.adapter)
            found.append({**entry, **_answer(model, prompt)})
    except (ValueError, RuntimeError, KeyError) as error:
        raise ExportError(f"The exported folder does not run: {error}\nIn {directory}.") from error
    return found


def _answer(model: object, prompt: CheckedPrompt) -> dict[str, Json]:
    from slmcheck.export.deployed.runner import Model

    assert isinstance(model, Model)
    if prompt.kind == "generate":
        written = model.write(prompt.ids, prompt.limit)
        return {
            "answer": model.text_of(written.tokens),
            "margin": min(written.margins),
            "tokens": list(written.tokens),
            "margins": [round(margin, 6) for margin in written.margins],
        }
    if prompt.kind == "options":
        scores = model.option_scores([(list(ids), start) for ids, start in prompt.sequences]).tolist()
    else:
        scores = model.label_logits([list(prompt.ids)])[0].tolist()
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return {"answer": prompt.options[order[0]], "margin": scores[order[0]] - scores[order[1]]}


def card(facts: GraphFacts, task: DeployedTask, identity: Identity) -> str:
    """The card of the folder: what it is, how it is run, what is known of it."""
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    rows = [
        ("run", f"{identity.run} ({(identity.run_key or 'no training of this project')[:12]})"),
        ("base model", identity.base_model),
        ("trained by", f"{identity.trainer}, for {identity.task}"),
        ("precision", facts.precision),
        ("size", f"{facts.size_bytes:,} bytes of graph and weights"),
        ("exported by", f"{identity.exporter}, opset {facts.opset}; {versions}"),
        ("reads", f"{facts.context_tokens or 'any number of'} tokens"),
    ]
    if task.options:
        rows.append(("answers", ", ".join(task.options)))
    parts = [
        f"# {_cell(identity.run)}, {facts.precision}",
        _table(("fact", ""), rows),
        "## Run it\n\nIt needs onnxruntime, numpy and tokenizers: `pip install onnxruntime numpy tokenizers`.",
        f"```sh\n{_example(task)}\n```",
        "```python\nfrom runner import Model\n\nmodel = Model()\nprint(model.answer(prompt=...))\n```",
        "## Check it on the target device\n\n```sh\npython selfcheck/selfcheck.py --output selfcheck.json\n```\n\n"
        "It asks prompts of the suite, compares token ids, answers and times with those of the export, and ends with "
        "status 1 where they differ by more than rounding. Where the model was trained, the file becomes a row of the "
        f"gate: `slmcheck parity {identity.run} --precision {facts.precision} --from selfcheck.json`.",
    ]
    if identity.scores:
        parts += ["## Scores", _table(("metric", "value", "95 % interval"), identity.scores)]
    return "\n\n".join(parts) + "\n"


def write_document(file: Path, value: Json) -> None:
    """Write a JSON file."""
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _example(task: DeployedTask) -> str:
    if task.template is None:
        return 'python runner.py "the conversation as the chat template renders it"'
    fields = task.template["fields"]
    assert isinstance(fields, list | tuple)
    row = json.dumps({str(name): "..." for name in fields}, ensure_ascii=False)
    return f"python runner.py --row '{row}'"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that stays one cell and no markup: names and labels come from users."""
    escaped = " ".join(text.split()).replace("\\", "\\\\")
    for character in "|<>`*_[]":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped
