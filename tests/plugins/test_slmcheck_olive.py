"""The commands and files of the tutorial on Olive: exact fields, exact notes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from slmcheck_olive import OliveReader

from slmcheck.errors import RecipeError
from tests.plugins import olive_chapter as chapter

STORE = "left out: runs are kept in the store"
LOSS = (
    "loss: Olive's loss covers every token, prompt included, and so does loss_on: all; "
    "loss_on: answer learns the answer and its EOS only, which is the default of a recipe"
)
ROWS = (
    "rows: Olive joins rows and cuts blocks of max_seq_len tokens (256 of them by default in its command); "
    "the recipe learns all rows one by one, each with EOS at its end"
)
DEFAULTS = "defaults: not given, so those of Olive are written: "
DTYPE = "torch_dtype: Olive's default is bfloat16: bf16: true, which a GPU follows and a processor not"
WARMUP = "warmup_ratio: none: Olive declares 0.03 and drops it"
TARGETS = (
    "target_modules: Olive takes peft's choice for the architecture; "
    "the recipe takes every linear layer but the head (all-linear)"
)
SHARE = (
    "eval_split: Olive trains on all rows; a recipe sets 15 % of them aside for the validation loss (data.validation)"
)
TEST = "test: scores are of the validation rows until test rows are named (data.test)"
SEARCH_FIELDS = {
    "sampler": "random",
    "num_trials": 20,
    "space": {
        "learning_rate": {"type": "float", "low": 1e-6, "high": 1e-3, "log": True},
        "options.r": {"type": "int", "low": 8, "high": 64},
        "per_device_train_batch_size": {"choices": [8, 16, 32]},
    },
}


def read(*sources: str, directory: Path | None = None) -> tuple[dict[str, object], list[str]]:
    """Fields and notes, as a user sees them."""
    reading = OliveReader().read(sources, directory or Path.cwd())
    return dict(reading.fields), [str(note) for note in reading.notes]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the files of the tutorial."""
    monkeypatch.chdir(tmp_path)
    files = {
        "olive-config.yaml": chapter.OLIVE_CONFIG,
        "search.yaml": chapter.SEARCH,
        "regularisation.yaml": chapter.REGULARISATION,
        "training.yaml": chapter.TRAINING_CONFIG,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_first_command() -> None:
    fields, notes = read(chapter.FINETUNE_LORA)
    assert fields == {
        "base_model": "meta-llama/Llama-3.2-1B-Instruct",
        "trust_remote_code": True,
        "trainer": "lora",
        "task": "generation",
        "data": {
            "train": "xxyyzzz/phrase_classification",
            "evaluate_on": "validation",
            "text_template": "<|start_header_id|>user<|end_header_id|>\n{phrase}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n{tone}",
            "answer": "tone",
            "loss_on": "all",
            "max_length": 1024,
        },
        "options": {"r": 64, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": "all-linear"},
        "learning_rate": 2e-4,
        "max_steps": 100,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 8,
        "gradient_checkpointing": True,
        "seed": 42,
        "optim": "adamw_torch",
        "bf16": True,
    }
    assert notes == [
        f"--output_path: {STORE}",
        "--text_template: the answer is taken to be the last placeholder, tone",
        "--log_level: left out: how much is logged changes no number",
        LOSS,
        ROWS,
        DEFAULTS + "task generation, data.loss_on all, data.max_length 1024, learning_rate 0.0002, "
        "lr_scheduler_type constant, per_device_train_batch_size 8, gradient_checkpointing true, seed 42",
        DTYPE,
        WARMUP,
        TARGETS,
        SHARE,
        TEST,
    ]


def test_the_qlora_command() -> None:
    fields, notes = read(chapter.FINETUNE_QLORA)
    assert fields == {
        "base_model": "meta-llama/Meta-Llama-3-8B",
        "trainer": "qlora",
        "task": "generation",
        "data": {
            "train": "nampdn-ai/tiny-codes:train[:4096]",
            "validation": ["nampdn-ai/tiny-codes:train[4096:4224]"],
            "evaluate_on": "validation",
            "text_template": "### Language: {programming_language} \n### Question: {prompt} \n### Answer: {response}",
            "answer": "response",
            "loss_on": "all",
            "max_length": 1024,
        },
        "options": {
            "r": 64,
            "lora_alpha": 16,
            "lora_dropout": 0.05,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": False,
            "target_modules": "all-linear",
        },
        "learning_rate": 2e-4,
        "per_device_train_batch_size": 16,
        "max_steps": 150,
        "logging_steps": 50,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": True,
        "seed": 42,
        "optim": "paged_adamw_32bit",
        "bf16": True,
    }
    assert notes == [
        "--text_template: the answer is taken to be the last placeholder, response",
        "--per_device_eval_batch_size: left out: evaluation packs rows by tokens, and no score depends on it",
        f"--output_path: {STORE}",
        LOSS,
        ROWS,
        DEFAULTS + "task generation, data.loss_on all, data.max_length 1024, learning_rate 0.0002, "
        "lr_scheduler_type constant, gradient_checkpointing true, seed 42",
        DTYPE,
        WARMUP,
        TARGETS,
        TEST,
    ]


CONFIG_FIELDS = {
    "base_model": "microsoft/DialoGPT-medium",
    "trainer": "lora",
    "task": "generation",
    "data": {
        "train": "path/to/your/dataset.json",
        "evaluate_on": "validation",
        "text_template": "User: {input}\nAssistant: {output}",
        "answer": "output",
        "loss_on": "all",
        "max_length": 1024,
    },
    "options": {
        "r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "target_modules": ["c_attn", "c_proj"],
        "modules_to_save": ["ln_f", "lm_head"],
    },
    "learning_rate": 2e-4,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 8,
    "gradient_checkpointing": True,
    "seed": 42,
    "num_train_epochs": 3,
    "optim": "adamw_torch",
    "bf16": True,
}
CONFIG_NOTES = [
    "passes.lora.config.lora_alpha: Olive 0.13 ignores it and takes 16 (its name there is alpha), "
    "the recipe follows it: 32",
    "passes.lora.config.modules_to_save: Olive 0.13 rejects every list, the recipe follows it",
    "data_configs.custom_dataset.pre_process_data_config.text_template: "
    "the answer is taken to be the last placeholder, output",
    LOSS,
    ROWS,
    DEFAULTS + "data.loss_on all, data.max_length 1024, learning_rate 0.0002, lr_scheduler_type constant, "
    "per_device_train_batch_size 8, gradient_checkpointing true, seed 42",
    DTYPE,
    WARMUP,
    SHARE,
    TEST,
]


def test_the_run_config() -> None:
    assert read("olive-config.yaml") == (CONFIG_FIELDS, CONFIG_NOTES)


def test_the_command_that_runs_it() -> None:
    setup = "--setup: left out: Olive 0.13 knows no such option; slmcheck says itself what is missing"
    assert read(chapter.RUN) == (CONFIG_FIELDS, [setup, *CONFIG_NOTES])


def test_the_rows_are_a_file_that_the_config_names(folder: Path) -> None:
    (folder / "path/to/your").mkdir(parents=True)
    (folder / "path/to/your/dataset.json").write_text(chapter.ROWS)
    fields, _ = read("olive-config.yaml", directory=folder / "suites/chat")
    assert fields["data"]["train"] == "../../path/to/your/dataset.json"  # type: ignore[index]


def test_the_search_is_a_part_of_a_recipe() -> None:
    fields, notes = read("search.yaml")
    assert fields == {"search": SEARCH_FIELDS}
    assert notes == [
        "search_space.lora_r: is options.r in a recipe",
        "search_space.batch_size: is per_device_train_batch_size in a recipe",
    ]


def test_the_remedy_for_overfitting_is_a_part_of_a_recipe() -> None:
    fields, notes = read("regularisation.yaml")
    assert fields == {
        "trainer": "lora",
        "options": {"r": 16, "lora_alpha": 16, "lora_dropout": 0.1},
        "weight_decay": 0.01,
    }
    assert notes == [
        CONFIG_NOTES[0].replace("32", "16"),
        "passes.lora.config.weight_decay: Olive 0.13 ignores it here (its place is training_args), "
        "the recipe follows it",
    ]


def test_the_remedy_for_slow_training_is_a_part_of_a_recipe() -> None:
    fields, notes = read("training.yaml")
    assert fields == {"fp16": True, "optim": "adamw_torch", "lr_scheduler_type": "cosine"}
    assert notes == [
        "training_config.fp16: Olive 0.13 ignores it (it reads torch_dtype), the recipe follows it",
        "training_config.dataloader_num_workers: left out: rows are encoded before training, "
        "so there is nothing to load in parallel",
        "training_config: no key of Olive 0.13, which fails there; the recipe follows it",
    ]


@pytest.mark.parametrize(
    ("command", "task"), [(chapter.FINETUNE_CLASSIFIER, "classification"), (chapter.FINETUNE_GENERATOR, "generation")]
)
def test_the_commands_of_two_adapters(command: str, task: str) -> None:
    fields, notes = read(command)
    assert fields == {"trainer": "lora", "task": task}
    assert notes == [
        "--task_name: no option of Olive 0.13 (it is --task there); read as the task",
        f"--output_path: {STORE}",
    ]


def test_the_command_that_monitors() -> None:
    fields, notes = read(chapter.MONITORING)
    assert fields == {"logging_steps": 10, "eval_steps": 50, "report_to": "tensorboard"}
    assert notes == [
        "--save_steps: left out: a checkpoint is kept at every evaluation (eval_steps)",
        "--logging_dir: left out: the curves stand in the store and in the report",
    ]


def test_the_command_that_saves_memory() -> None:
    fields, notes = read(chapter.MEMORY)
    assert fields == {
        "trainer": "qlora",
        "gradient_checkpointing": True,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 16,
    }
    assert notes == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            chapter.AUTO_OPT,
            "'olive auto-opt' has no place in a recipe: it exports; after the training: slmcheck parity RUN, "
            "slmcheck export RUN DIR.\nA recipe describes training: olive finetune, or olive run --config FILE.",
        ),
        (
            chapter.GENERATE_ADAPTER,
            "'olive generate-adapter' has no place in a recipe: it exports adapters; train each with a recipe of its "
            "own, then slmcheck export RUN DIR.\n"
            "A recipe describes training: olive finetune, or olive run --config FILE.",
        ),
    ],
)
def test_the_commands_that_export_say_what_does_it_here(command: str, told: str) -> None:
    with pytest.raises(RecipeError) as raised:
        read(command)
    assert str(raised.value) == told


def test_the_parts_change_the_whole_whichever_is_named_first() -> None:
    parts = ("search.yaml", "regularisation.yaml", "training.yaml")
    fields, notes = read(*parts, "olive-config.yaml", chapter.MONITORING)
    assert (fields, notes) == read("olive-config.yaml", *parts, chapter.MONITORING)
    data = {name: value for name, value in CONFIG_FIELDS["data"].items() if name != "evaluate_on"}  # type: ignore[attr-defined]
    assert fields == {
        **{name: value for name, value in CONFIG_FIELDS.items() if name != "bf16"},
        "data": {**data, "train": "path/to/your/dataset.json[:90%]", "test": "path/to/your/dataset.json[90%:]"},
        "options": {**CONFIG_FIELDS["options"], "lora_alpha": 16, "lora_dropout": 0.1},  # type: ignore[dict-item]
        "weight_decay": 0.01,
        "fp16": True,
        "lr_scheduler_type": "cosine",
        "logging_steps": 10,
        "eval_steps": 50,
        "report_to": "tensorboard",
        "search": SEARCH_FIELDS,
    }
    assert notes[-1] == "search: scores must be of rows that a search never saw: the last tenth is the test (data.test)"


def test_reading_loads_no_model_library_and_no_olive(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from slmcheck.recipes.foreign import reader_of\n"
        "reader_of('olive').read(['olive-config.yaml'], Path.cwd())\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'datasets', 'olive') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert result.stdout == "[]\n"


def test_yaml_json_and_command_of_one_job_are_equal(folder: Path) -> None:
    config = {
        "input_model": {"type": "HfModel", "model_path": "org/base", "task": "text-generation"},
        "data_configs": [
            {
                "name": "rows",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_name": "json", "data_files": ["a.jsonl", "b.jsonl"], "split": "train"},
                "pre_process_data_config": {"text_template": "प्रश्न: {q}\nउत्तर: {a}", "max_seq_len": 256},
            }
        ],
        "passes": {
            "f": {
                "type": "LoRA",
                "r": 8,
                "alpha": 32,
                "target_modules": ["q_proj", "v_proj"],
                "torch_dtype": "float32",
                "train_data_config": "rows",
                "training_args": {"learning_rate": 1e-6, "max_steps": 20, "gradient_checkpointing": False},
            }
        },
    }
    (folder / "job.json").write_text(json.dumps(config))
    (folder / "job.yaml").write_text(
        """
input_model: {type: HfModel, model_path: org/base, task: text-generation}
data_configs:
  - name: rows
    type: HuggingfaceContainer
    load_dataset_config: {data_name: json, data_files: [a.jsonl, b.jsonl], split: train}
    pre_process_data_config: {text_template: "प्रश्न: {q}\\nउत्तर: {a}", max_seq_len: 256}
passes:
  f:
    type: LoRA
    r: 8
    alpha: 32
    target_modules: [q_proj, v_proj]
    torch_dtype: float32
    train_data_config: rows
    training_args: {learning_rate: 1e-6, max_steps: 20, gradient_checkpointing: false}
""",
        encoding="utf-8",
    )
    command = (
        "olive finetune -m org/base -t text-generation -d json --data_files a.jsonl,b.jsonl --max_seq_len 256 "
        r'--text_template "प्रश्न: {q}\nउत्तर: {a}" --lora_r 8 --lora_alpha 32 --target_modules q_proj,v_proj '
        "--torch_dtype float32 --learning_rate=1e-6 --max_steps 20 --gradient_checkpointing false"
    )
    fields, _ = read("job.yaml")
    assert fields == read("job.json")[0]
    assert fields == read(command)[0]
    assert fields["learning_rate"] == 1e-6
    assert fields["data"]["text_template"] == "प्रश्न: {q}\nउत्तर: {a}"  # type: ignore[index]
