"""Olive's `data_configs` -> the `data` block of a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from slmcheck.records import Json
from slmcheck_olive.draft import Draft, as_number, as_switch, listed, mapping_at
from slmcheck_olive.templates import read_template

FILE_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
FORMATS = ("json", "csv", "parquet", "text")
"""Names of data sets that are readers of files."""
_CONFIG = (
    *("name", "type", "user_script", "script_dir", "load_dataset_config", "pre_process_data_config"),
    *("post_process_data_config", "dataloader_config"),
)
_LOAD = ("data_name", "data_files", "data_dir", "split", "subset", "type", "params", "col_filters", "trust_remote_code")
_BLOCKS = "left out: rows are learned one by one, not joined and cut into blocks"
_PADDING = "left out: batches have no padding"
PREPROCESSING: Final[Mapping[str, str]] = {
    "strategy": _BLOCKS,
    "joiner": _BLOCKS,
    "stride": _BLOCKS,
    "drop_short_sequences": _BLOCKS,
    "padding_side": _PADDING,
    "pad_to_max_len": _PADDING,
    "use_attention_mask": _PADDING,
    "add_special_tokens": "left out: the special tokens of the tokenizer are added, EOS at the end of each row",
    "random_seed": "left out: seed decides the order of rows",
    "random_retries": "left out: rows are learned one by one",
    "processing_batch_size": "left out: no effect on the numbers",
    "type": "left out: how rows are rendered follows from the template",
    "task": "left out: the task of the recipe is that of the model",
    "model_name": "left out: the tokenizer is that of the base model",
    "trust_remote_code": "left out: data sets run no code",
    "input_cols": "left out: the template names the columns",
    "label_col": "left out: the template names the columns",
}
_TEMPLATES = ("text_template", "text_cols", "chat_template", "message_col", "max_seq_len", "max_samples", "params")
_SCRIPTS = ("user_script", "script_dir", "text_formatting_func")
NO_CODE = "slmcheck runs no code named in a config; write the rows to a file first"


def read_training_data(draft: Draft, key: str, config: Mapping[str, Json]) -> None:
    """The rows that are learned, and how they are rendered."""
    _check_keys(draft, key, config)
    source = _sources(draft, f"{key}.load_dataset_config", config.get("load_dataset_config"), key)
    given = _with_params(draft, f"{key}.pre_process_data_config", config.get("pre_process_data_config"))
    read_preprocessing(draft, f"{key}.pre_process_data_config", given)
    if "max_samples" in given:
        source = limited(draft, f"{key}.pre_process_data_config.max_samples", source, given["max_samples"])
    if source:
        draft.put("data.train", source[0] if len(source) == 1 else list(source))


def read_validation_data(draft: Draft, key: str, config: Mapping[str, Json]) -> None:
    """The rows of the validation loss; they are rendered as those of the training."""
    _check_keys(draft, key, config)
    source = _sources(draft, f"{key}.load_dataset_config", config.get("load_dataset_config"), key)
    given = _with_params(draft, f"{key}.pre_process_data_config", config.get("pre_process_data_config"))
    for name, value in given.items():
        if name == "max_samples":
            source = limited(draft, f"{key}.pre_process_data_config.max_samples", source, value)
        elif name in _SCRIPTS:
            draft.refuse(f"{key}.pre_process_data_config.{name}", NO_CODE)
        elif name not in (*PREPROCESSING, *_TEMPLATES):
            draft.unknown(f"{key}.pre_process_data_config.{name}", name, (*PREPROCESSING, *_TEMPLATES))
        else:
            draft.note(f"{key}.pre_process_data_config.{name}", "left out: validation rows are rendered as the others")
    if source:
        draft.put("data.validation", list(source))


def read_preprocessing(draft: Draft, key: str, given: Mapping[str, Json]) -> None:
    """Template, messages and length."""
    for name, value in given.items():
        place = f"{key}.{name}"
        if name in _SCRIPTS:
            draft.refuse(place, NO_CODE)
        elif name == "text_template" and isinstance(value, str):
            read_template(draft, place, value)
        elif name == "text_cols":
            _columns(draft, place, listed(value))
        elif name == "chat_template":
            _chat(draft, place, value, str(given.get("message_col", "messages")))
        elif name == "max_seq_len":
            draft.put("data.max_length", as_number(value))
        elif name in PREPROCESSING:
            draft.note(place, PREPROCESSING[name])
        elif name not in _TEMPLATES:
            draft.unknown(place, name, (*PREPROCESSING, *_TEMPLATES))


def limited(draft: Draft, key: str, source: tuple[str, ...], value: Json) -> tuple[str, ...]:
    """Sources cut to their first rows."""
    count = as_number(value)
    if count is None or not source:
        return source
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        draft.refuse(key, f"{value!r} is no number of rows")
        return source
    if len(source) > 1 or source[0].endswith("]"):
        draft.note(key, f"left out: {count} blocks, and the rows are chosen by name already")
        return source
    draft.note(key, f"Olive counts blocks of max_seq_len tokens, the recipe takes the first {count} rows")
    return (with_rows(source[0], f":{count}"),)


def with_rows(source: str, part: str) -> str:
    """A source and the rows of it: `rows.json[:256]`, `org/set:train[:256]`."""
    is_file = source.lower().endswith(FILE_SUFFIXES) or source.startswith((".", "/"))
    return f"{source}[{part}]" if is_file or ":" in source else f"{source}:train[{part}]"


def sources_of(
    draft: Draft, key: str, *, name: Json, files: Json, split: Json, subset: Json, folder: Json = None
) -> tuple[str, ...]:
    """The sources that name, files, split and subset of Olive mean.

    Args:
        draft: Takes notes and problems.
        key: Where they stand.
        name: A data set of a hub, `json` for files, or a file itself.
        files: File names, a list or with commas.
        split: `train[:4096]`.
        subset: The configuration of a data set.
        folder: Where the files lie.
    """
    part = str(split or "train")
    named = listed(files.get("train") if isinstance(files, dict) else files)
    if isinstance(files, dict) and set(files) - {"train"}:
        part_name = part.partition("[")[0]
        named = listed(files.get(part_name))
        part = f"train{part[len(part_name) :]}"
    if not named and isinstance(name, str) and name.lower().endswith(FILE_SUFFIXES):
        draft.note(key, f"{name} is read as a file, where Olive ends without a model")
        named = [name]
    if not named:
        return _hub(draft, key, name, part, subset)
    if isinstance(name, str) and name not in FORMATS and not name.lower().endswith(FILE_SUFFIXES):
        draft.note(key, f"'{name}' left out: the rows are in files")
    place, rows = part.partition("[")[0], part.partition("[")[2].rstrip("]")
    if place != "train":
        draft.refuse(key, f"split '{part}' of files; the rows of files are one split, train")
    base = f"{folder}/" if isinstance(folder, str) and folder else ""
    found = tuple(f"{base}{file}" for file in named)
    wrong = [file for file in found if not file.lower().endswith(FILE_SUFFIXES)]
    if wrong:
        draft.refuse(key, f"'{wrong[0]}' is no file of rows ({', '.join(FILE_SUFFIXES)})")
    return tuple(f"{file}[{rows}]" for file in found) if rows else found


def _hub(draft: Draft, key: str, name: Json, part: str, subset: Json) -> tuple[str, ...]:
    if not isinstance(name, str) or name in FORMATS:
        return ()
    if name.startswith((".", "/")):
        draft.refuse(key, f"'{name}' is a folder; name its files")
        return ()
    configured = f"{name}#{subset}" if subset else name
    return (configured if part == "train" else f"{configured}:{part}",)


def _sources(draft: Draft, key: str, value: Json, whole: str) -> tuple[str, ...]:
    load = _with_params(draft, key, value)
    for name in load:
        if name == "col_filters":
            draft.refuse(f"{key}.{name}", "a recipe takes all rows of a source; write the rows wanted to a file")
        elif name == "trust_remote_code":
            draft.note(f"{key}.{name}", "left out: data sets run no code")
        elif name == "type" and load[name] not in (None, "huggingface_dataset"):
            draft.refuse(f"{key}.{name}", f"'{load[name]}' is no source of rows; name files or a data set of a hub")
        elif name not in _LOAD:
            draft.unknown(f"{key}.{name}", name, _LOAD)
    found = sources_of(
        draft,
        key,
        name=load.get("data_name"),
        files=load.get("data_files"),
        split=load.get("split"),
        subset=load.get("subset"),
        folder=load.get("data_dir"),
    )
    if not found and not draft.problems:
        draft.refuse(whole, "names no rows (load_dataset_config: data_name or data_files)")
    return found


def _with_params(draft: Draft, key: str, value: Json) -> dict[str, Json]:
    given = mapping_at(draft, key, value)
    inner = given.get("params")
    return {**{name: item for name, item in given.items() if name != "params"}, **mapping_at(draft, key, inner)}


def _check_keys(draft: Draft, key: str, config: Mapping[str, Json]) -> None:
    for name, value in config.items():
        place = f"{key}.{name}"
        if name in _SCRIPTS:
            draft.refuse(place, NO_CODE)
        elif name in ("post_process_data_config", "dataloader_config"):
            if value:
                draft.note(place, "left out: it belongs to Olive's own evaluation and loading")
        elif name == "type":
            if str(value).lower() not in ("huggingfacecontainer", "datacontainer"):
                draft.refuse(place, f"'{value}' is no source of rows; expected HuggingfaceContainer")
        elif name not in _CONFIG:
            draft.unknown(place, name, _CONFIG)


def _columns(draft: Draft, key: str, columns: list[Json]) -> None:
    if draft.fields.get("data.text_template") is not None:
        draft.note(key, "left out: the template names the columns")
        return
    read_template(draft, key, "\n".join(f"{{{column}}}" for column in columns))


def _chat(draft: Draft, key: str, value: Json, column: str) -> None:
    wanted = as_switch(value)
    if wanted in (None, False):
        return
    draft.put("data.messages", column)
    if isinstance(wanted, str):
        draft.put("data.chat_template", wanted)
    draft.note(key, f"is data.messages: {json.dumps(column)} in a recipe")
