"""A training program as teams have them: transformers' Trainer with LoRA on prompt and completion."""

import argparse
import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

parser = argparse.ArgumentParser()
for name in ("model", "train", "validation", "out"):
    parser.add_argument(f"--{name}")
for name in ("rank", "steps", "batch", "evaluate", "seed"):
    parser.add_argument(f"--{name}", type=int)
parser.add_argument("--lr", type=float)
a = parser.parse_args()
set_seed(a.seed)
tokenizer = AutoTokenizer.from_pretrained(a.model)
model = get_peft_model(
    AutoModelForCausalLM.from_pretrained(a.model),
    LoraConfig(r=a.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
)


def rows(path):
    found = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        whole = tokenizer(row["text"], return_offsets_mapping=True)
        cut = len(row["prompt"])
        ids = whole["input_ids"] + [tokenizer.eos_token_id]
        labels = [
            i if end > cut else -100 for i, (_, end) in zip(whole["input_ids"], whole["offset_mapping"], strict=True)
        ] + [tokenizer.eos_token_id]
        found.append({"input_ids": ids[:256], "labels": labels[:256]})
    return found


def collate(batch):
    n = max(len(r["input_ids"]) for r in batch)

    def pad(rows, fill):
        return torch.tensor([row + [fill] * (n - len(row)) for row in rows])

    return {
        "input_ids": pad([r["input_ids"] for r in batch], 0),
        "labels": pad([r["labels"] for r in batch], -100),
        "attention_mask": pad([[1] * len(r["input_ids"]) for r in batch], 0),
    }


args = TrainingArguments(
    a.out,
    max_steps=a.steps,
    learning_rate=a.lr,
    per_device_train_batch_size=a.batch,
    eval_strategy="steps",
    eval_steps=a.evaluate,
    save_steps=a.evaluate,
    logging_steps=1,
    report_to=[],
    use_cpu=True,
    seed=a.seed,
    load_best_model_at_end=True,
    metric_for_best_model="eval_loss",
    remove_unused_columns=False,
    disable_tqdm=True,
    dataloader_pin_memory=False,
)
trainer = Trainer(model, args, train_dataset=rows(a.train), eval_dataset=rows(a.validation), data_collator=collate)
trainer.train()
trainer.save_state()
model.save_pretrained(a.out)
