"""An Olive command line -> what a recipe says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from slmcheck.records import Json
from slmcheck_olive.config import put_base_model, put_task
from slmcheck_olive.data_configs import limited, sources_of
from slmcheck_olive.draft import Draft, as_number
from slmcheck_olive.passes import put_dtype, put_modules
from slmcheck_olive.templates import decoded, read_template
from slmcheck_olive.training_args import KNOWN, read_training_argument

_SHORT: Final[Mapping[str, str]] = {
    "-m": "--model_name_or_path",
    "-d": "--data_name",
    "-t": "--task",
    "-o": "--output_path",
}
_STORE = "left out: runs are kept in the store"
_NOTED: Final[Mapping[str, str]] = {
    "--output_path": _STORE,
    "--batch_size": "left out: Olive uses it nowhere in training; the rows of a pass are per_device_train_batch_size",
    "--input_cols": "left out: the template names the columns",
    "--test": "left out: a recipe trains the model that it names",
    "--account_name": _STORE,
    "--container_name": _STORE,
    "--log_level": "left out: how much is logged changes no number",
    "--save_config_file": "left out: the recipe is the file",
    "--dry_run": "left out: slmcheck data check RECIPE looks before training",
    "--disable_telemetry": "left out: slmcheck sends nothing",
    "--eval_subset": "left out: Olive ignores it and takes --train_subset",
    "--add_special_tokens": "left out: any value switches it on in Olive, false too; EOS is learned after each row",
    "--enable_shared_cache": _STORE,
}
_FLAGS: Final = ("--trust_remote_code", "--use_chat_template", "--save_config_file", "--dry_run", "--disable_telemetry")
"""Options without a value."""
_OWN: Final = (
    *("--model_name_or_path", "--data_name", "--data_files", "--train_subset", "--train_split", "--eval_split"),
    *("--task", "--task_name", "--method", "--lora_r", "--lora_alpha", "--target_modules", "--torch_dtype"),
    *("--lora_dropout", "--text_template", "--text_field", "--use_chat_template", "--max_seq_len", "--max_samples"),
    *("--trust_remote_code", *_NOTED),
)
_SCRIPTS = ("--model_script", "--script_dir")
_EXPORT = "it exports; after the training: slmcheck parity RUN, slmcheck export RUN DIR"
ELSEWHERE: Final[Mapping[str, str]] = {
    "auto-opt": _EXPORT,
    "optimize": _EXPORT,
    "generate-adapter": "it exports adapters; train each with a recipe of its own, then slmcheck export RUN DIR",
    "convert-adapters": "it exports adapters; train each with a recipe of its own, then slmcheck export RUN DIR",
    "extract-adapters": "it exports adapters; train each with a recipe of its own, then slmcheck export RUN DIR",
    "capture-onnx-graph": _EXPORT,
    "quantize": _EXPORT,
}
_RUN_NOTED: Final[Mapping[str, str]] = {
    "--setup": "left out: Olive 0.13 knows no such option; slmcheck says itself what is missing",
    "--list_required_packages": "left out: slmcheck says itself what is missing",
    "--tempdir": "left out: no effect on the numbers",
    "--package-config": "left out: no effect on the numbers",
    "--package_config": "left out: no effect on the numbers",
    "--disable_telemetry": "left out: slmcheck sends nothing",
    "--output_path": _STORE,
    "--log_level": "left out: how much is logged changes no number",
}
_RUN_FLAGS = ("--setup", "--list_required_packages", "--disable_telemetry")


_PART: Final = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\[ \t]*\n|\\.|\n|#[^\n]*|.""", re.DOTALL)
"""A quotation, a line that goes on, an escaped character, the end of a line, a comment, any other character."""


def is_command(source: str) -> bool:
    """Whether a source is a command line rather than a file."""
    return any(re.match(r"(?:\$ )?olive\s", line) for line in _lines(source))


def words_of(source: str) -> list[str]:
    r"""The words of a command line after `olive`, its line ends (`\`) and comments removed.

    Raises:
        ValueError: If a quotation does not end, or there are several commands.
    """
    lines = _lines(source)
    if len(lines) != 1:
        raise ValueError(f"it has {len(lines)} commands, and a recipe is one of them")
    return shlex.split(lines[0].removeprefix("$ "))[1:]


def _lines(source: str) -> list[str]:
    r"""The commands of a text, without comments and empty lines; a line that ends with `\` goes on."""
    lines = [""]
    for part in (found[0] for found in _PART.finditer(source)):
        if part == "\n":
            lines.append("")
        elif part[0] == "\\" and part[-1] == "\n":
            lines[-1] += " "
        elif part[0] != "#" or lines[-1].strip():
            lines[-1] += part
    return [line.strip() for line in lines if line.strip()]


def options_of(draft: Draft, words: Sequence[str], flags: Sequence[str], short: Mapping[str, str]) -> dict[str, str]:
    """Options by long name; a flag has the value `true`."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        name = short.get(name, name)
        if not name.startswith("--"):
            draft.refuse(word, "no option; options begin with --")
            continue
        if equals:
            draft.note(name, "written with an equals sign, which Olive drops; the recipe follows it")
        elif name in flags:
            value = "true"
        else:
            values = []
            while rest and not _is_option(rest[0]):
                values.append(rest.pop(0))
            value = ",".join(values) if values else "true"
        if name in found:
            draft.note(name, "given twice; the last one counts")
        found[name] = value
    return found


def _is_option(word: str) -> bool:
    return word.startswith("--") or word in _SHORT


def read_finetune(words: Sequence[str]) -> Draft:
    """What `olive finetune` says."""
    draft = Draft()
    given = options_of(draft, words, _FLAGS, _SHORT)
    _first(draft, given)
    for name, value in given.items():
        _option(draft, name, value, given)
    _rows(draft, given)
    return draft


def config_of_run(draft: Draft, words: Sequence[str]) -> str | None:
    """The file that `olive run` names."""
    given = options_of(draft, words, _RUN_FLAGS, {"-c": "--config"})
    for name in given:
        if name in _RUN_NOTED:
            draft.note(name, _RUN_NOTED[name])
        elif name not in ("--config", "--run-config", "--run_config"):
            draft.unknown(name, name, ("--config", "--run-config", *_RUN_NOTED))
    file = given.get("--config") or given.get("--run-config") or given.get("--run_config")
    if file is None:
        draft.refuse("olive run", "names no file (--config FILE)")
    return file


def _first(draft: Draft, given: Mapping[str, str]) -> None:
    """What others depend on."""
    method = given.get("--method", "lora")
    if method in ("lora", "qlora"):
        if "--method" in given:
            draft.put("trainer", method)
    elif method == "full":
        draft.refuse("--method", "Olive has no 'full'; in a recipe write trainer: full")
    else:
        draft.unknown("--method", method, ("lora", "qlora"))
    for name in ("--task", "--task_name"):
        if name in given:
            put_task(draft, name, given[name])
            if name == "--task_name":
                draft.note(name, "no option of Olive 0.13 (it is --task there); read as the task")


def _option(draft: Draft, name: str, value: str, given: Mapping[str, str]) -> None:
    if name in _NOTED:
        draft.note(name, _NOTED[name])
    elif name == "--model_name_or_path":
        put_base_model(draft, name, value)
    elif name == "--trust_remote_code":
        draft.put("trust_remote_code", value.lower() != "false")
    elif name in ("--lora_r", "--lora_alpha", "--lora_dropout"):
        draft.put({"--lora_r": "options.r"}.get(name, f"options.{name[2:]}"), as_number(value))
        if name == "--lora_dropout":
            draft.note(name, "no option of Olive's command (fixed at 0.05 there), the recipe follows it")
    elif name == "--target_modules":
        put_modules(draft, name, "target_modules", value)
    elif name == "--torch_dtype":
        put_dtype(draft, name, value)
    elif name == "--text_template":
        read_template(draft, name, decoded(value))
    elif name == "--text_field":
        if "--text_template" in given:
            draft.note(name, "left out: the template names the columns")
        else:
            read_template(draft, name, f"{{{value}}}")
    elif name == "--use_chat_template":
        draft.put("data.messages", "messages")
        draft.note(name, 'is data.messages: "messages" in a recipe')
    elif name == "--max_seq_len":
        draft.put("data.max_length", as_number(value))
    elif name in _SCRIPTS:
        draft.refuse(name, "slmcheck runs no code named in a command; name a model in the form of transformers")
    elif name not in _OWN and not (
        name.startswith("--") and read_training_argument(draft, name, name[2:].replace("-", "_"), _value(value))
    ):
        draft.unknown(name, name, (*_OWN, *(f"--{known}" for known in KNOWN)))


def _value(text: str) -> Json:
    return text


def _rows(draft: Draft, given: Mapping[str, str]) -> None:
    name, files, subset = given.get("--data_name"), given.get("--data_files"), given.get("--train_subset")
    if name is None and files is None:
        for option in ("--train_split", "--eval_split", "--train_subset", "--max_samples"):
            if option in given:
                draft.refuse(option, "given without --data_name")
        return
    train = sources_of(draft, "--data_name", name=name, files=files, split=given.get("--train_split"), subset=subset)
    if "--max_samples" in given:
        train = limited(draft, "--max_samples", train, given["--max_samples"])
    if train:
        draft.put("data.train", train[0] if len(train) == 1 else list(train))
    elif not draft.problems:
        draft.refuse("--data_name", f"'{name}' names no rows; name files with --data_files")
    if given.get("--eval_split"):
        other = Draft()  # what is said of the name was said above
        split = given["--eval_split"]
        draft.put(
            "data.validation",
            list(sources_of(other, "--eval_split", name=name, files=files, split=split, subset=subset)),
        )
        draft.problems += other.problems
