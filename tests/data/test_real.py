"""Real public data and a real tokenizer: what is read, rendered, tokenised and found."""

from collections import Counter

import pytest

from slmcheck.data import load_splits, train_subset
from slmcheck.data.checks import check_rows
from slmcheck.data.encoding import encode, encode_for_training, encode_prompt, within
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.records import DataSpec, Recipe

pytestmark = pytest.mark.real

LABEL = {"task": "classification", "text_template": "Text: {text}\nLabel: {label}", "answer": "label"}
INSTRUCTION = {
    "task": "generation",
    "text_template": "{instruction}\n{input}\nAnswer: {output}",
    "answer": "output",
}
SETS = {
    "sms_spam": LABEL,
    "go_emotions_ekman": LABEL,
    "banking77": LABEL,
    "e2e_nlg": {
        "task": "generation",
        "text_template": "{mr}\nText: {target}",
        "answer": "target",
        "references": "references",
    },
    "restaurant8k": {"task": "extraction", "text_template": "{text}\nSlots: {target}", "answer": "target"},
    "instruct_1k": INSTRUCTION,
    "code_instruct": {**INSTRUCTION, "max_length": 1300},
    "tinyshakespeare": {"task": "language_modeling", "text_template": "{text}"},
    "tinystories_1k": {"task": "language_modeling", "text_template": "{text}"},
}


@pytest.fixture
def recipe_of(real_data):
    def make(name, **fields):
        settings = {**SETS[name], **fields}
        task = settings.pop("task")
        data = {"train": ("train.jsonl",), "validation": ("validation.jsonl",), "test": ("test.jsonl",), **settings}
        return Recipe(
            name=f"{name}/lora",
            path=real_data / "data" / name / "lora.yaml",
            base_model="../../models/stories260k",
            task=task,
            trainer="lora",
            data=DataSpec(**data),
        )

    return make


@pytest.fixture(scope="module")
def stories(real_data):
    return read_tokenizer(real_data / "models" / "stories260k")


@pytest.mark.parametrize("name", SETS)
def test_every_row_of_every_set_is_an_example_with_its_own_id(recipe_of, name):
    splits = load_splits(recipe_of(name))
    for split in ("train", "validation", "test"):
        examples = splits.of(split)
        assert examples
        assert len({item.id for item in examples}) == len(examples)


@pytest.mark.parametrize("name", SETS)
def test_rows_are_learned_as_they_are_asked(recipe_of, stories, name):
    recipe = recipe_of(name)
    for example in load_splits(recipe).train[:200]:
        encoded = encode(example, stories, recipe=recipe)
        assert encoded.crossing is None
        assert stories.decode(encoded.ids[1:-1]).strip() == (example.prompt + example.answer).strip()
        assert encoded.labelled[-1]
        if recipe.task != "language_modeling":
            assert encode_prompt(example, stories, recipe=recipe) == encoded.prompt_ids


@pytest.mark.parametrize("name", ["tinyshakespeare", "tinystories_1k"])
def test_every_token_of_the_documents_is_learned_once(recipe_of, stories, name):
    recipe = recipe_of(name, max_length=64)
    for example in load_splits(recipe).train[:50]:
        whole = encode(example, stories, recipe=recipe)
        parts = encode_for_training(example, stories, recipe=recipe)
        learned = [number for part in parts for number, yes in zip(part.ids, part.labelled, strict=True) if yes]
        assert learned == list(whole.ids[1:])


def test_the_validation_share_keeps_the_classes(recipe_of):
    recipe = recipe_of("banking77", validation=0.15)
    splits = load_splits(recipe)
    share = len(splits.validation) / (len(splits.train) + len(splits.validation))
    assert share == pytest.approx(0.15, abs=0.002)
    train, held = (Counter(item.references[0] for item in rows) for rows in (splits.train, splits.validation))
    assert max(abs(held[label] / (held[label] + train[label]) - 0.15) for label in splits.labels) < 0.05


def test_equal_inputs_of_restaurant8k_have_numbered_ids(recipe_of):
    examples = load_splits(recipe_of("restaurant8k")).test
    texts = Counter(item.prompt for item in examples)
    assert sum(texts[item.prompt] > 1 for item in examples) == 111
    assert sum("-" in item.id for item in examples) == 111 - sum(count > 1 for count in texts.values())


def test_the_findings_of_sms_spam_name_its_majority(recipe_of, stories):
    recipe = recipe_of("sms_spam")
    findings = check_rows(recipe, load_splits(recipe), stories)
    assert {finding.cause for finding in findings if finding.severity != "note"} == {"class-imbalance"}
    assert findings[0].summary.startswith("87.6% of the training rows are 'ham'")


def test_the_training_subset_does_not_depend_on_the_order_of_the_file(recipe_of):
    splits = load_splits(recipe_of("sms_spam"))
    ids = [item.id for item in train_subset(splits, 1000)]
    assert ids == sorted(item.id for item in splits.train)[:500]


def test_long_programs_lose_the_beginning_of_the_prompt_and_never_the_answer(recipe_of, stories):
    recipe = recipe_of("code_instruct")
    for example in load_splits(recipe).train[:300]:
        encoded = encode(example, stories, recipe=recipe)
        fitting = within(encoded, 512, stories)
        if fitting is not None:
            assert fitting.answer_ids == encoded.answer_ids
            assert len(fitting.ids) <= 512


def test_the_real_tokenizer_gives_the_ids_of_transformers(recipe_of, stories, real_data):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(real_data / "models" / "stories260k")
    recipe = recipe_of("e2e_nlg")
    for example in load_splits(recipe).test[:50]:
        text = example.prompt + example.answer
        assert list(encode(example, stories, recipe=recipe).ids) == [*theirs(text)["input_ids"], theirs.eos_token_id]
