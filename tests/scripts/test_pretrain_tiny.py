"""The script that pretrains the embedded base model, on a few rows and for a few updates."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pretrain_tiny.py"
ROWS = [
    {"text": f"{who} {what} {where}.", "label": "small_talk", "instruction": what, "input": who, "output": where}
    for who in ("The neighbour", "My sister", "A dog", "The old baker")
    for what in ("was waiting", "sang a song", "found a coin", "fell asleep")
    for where in ("in the garden", "behind the station", "on the bridge")
]
SMALL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The script as a module; the switches of torch that it sets are set back afterwards."""
    spec = importlib.util.spec_from_file_location("pretrain_tiny", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    threads = torch.get_num_threads()
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def data(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few rows for every source, each also with splits that must not be read."""
    folder = tmp_path_factory.mktemp("data")
    for source in script.SOURCES:
        (folder / source.name).mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in ROWS)
        (folder / source.name / "train.jsonl").write_text(lines, encoding="utf-8")
        for split in ("validation", "test"):
            (folder / source.name / f"{split}.jsonl").write_text("not to be read", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def written(script: ModuleType, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders, each written by the same command line."""
    folders = (tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second"))
    for folder in folders:
        assert script.main(["--data", str(data), "--output", str(folder), "--steps", "2"]) == 0
    return folders


@pytest.fixture
def source(script: ModuleType) -> object:
    stories = next(source for source in script.SOURCES if source.name == "tinystories_1k")
    return replace(stories, passes=1.0)


def weights(script: ModuleType, corpus: object, folder: Path, seed: int) -> bytes:
    tokenizer = script.train_tokenizer([corpus], vocabulary=512)
    plan = script.Plan(steps=4, seed=seed, batch=2, block=32, warmup_steps=2)
    ((_, model),) = script.train_model([corpus], tokenizer, plan, SMALL)
    script.write_model(model, folder, SMALL)
    return (folder / "model.safetensors").read_bytes()


def test_same_command_writes_same_bytes(written: tuple[Path, Path]) -> None:
    first, second = written
    names = sorted(path.name for path in first.iterdir())
    assert "model.safetensors" in names
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]


def test_same_seed_gives_same_weights(script: ModuleType, data: Path, source: object, tmp_path: Path) -> None:
    corpus = script.read_corpus(source, data)
    assert weights(script, corpus, tmp_path, seed=1) == weights(script, corpus, tmp_path, seed=1)


def test_another_seed_gives_other_weights(script: ModuleType, data: Path, source: object, tmp_path: Path) -> None:
    corpus = script.read_corpus(source, data)
    assert weights(script, corpus, tmp_path, seed=1) != weights(script, corpus, tmp_path, seed=2)


def test_balanced_weights_compute_the_same_function(script: ModuleType) -> None:
    torch.manual_seed(0)
    model = script.LlamaForCausalLM(script.LlamaConfig.from_dict({**SMALL, "initializer_range": 0.2})).eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        weights = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
        model.load_state_dict(script.balanced(weights), strict=False)
        after = model(input_ids=ids).logits
    assert model.model.layers[0].input_layernorm.weight.mean() == 2.0
    torch.testing.assert_close(before, after, atol=1e-2, rtol=1e-2)


def test_balancing_leaves_the_model_in_training_alone(script: ModuleType) -> None:
    weights = {"model.norm.weight": torch.ones(2)}
    assert script.balanced(weights)["model.norm.weight"].tolist() == [script.STREAM_FACTOR] * 2
    assert weights["model.norm.weight"].tolist() == [1.0, 1.0]


def test_order_of_the_rows_does_not_matter(script: ModuleType, data: Path, source: object, tmp_path: Path) -> None:
    path = tmp_path / "tinystories_1k" / "train.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in reversed(ROWS)), encoding="utf-8")
    assert script.read_corpus(source, tmp_path) == script.read_corpus(source, data)


def test_held_out_rows_are_not_trained_on(script: ModuleType, data: Path, source: object) -> None:
    corpus = script.read_corpus(source, data)
    trained = {ways[0] for ways in corpus.train}
    held_out = {ways[0] for ways in corpus.held_out}
    assert held_out
    assert not trained & held_out
    assert trained | held_out == {row["text"] for row in ROWS}


def test_coarse_rows_are_left_out(script: ModuleType, source: object, tmp_path: Path) -> None:
    path = tmp_path / "tinystories_1k" / "train.jsonl"
    path.parent.mkdir()
    path.write_text('{"text": "What a bunch of bullshit."}\n{"text": "What a day."}\n', encoding="utf-8")
    corpus = script.read_corpus(source, tmp_path)
    assert corpus.train + corpus.held_out == [["What a day."]]


def test_missing_source_says_where_it_comes_from(script: ModuleType, source: object, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Source 'tinystories_1k' is missing") as raised:
        script.read_corpus(source, tmp_path)
    assert "github.com/ToonTalk/jlens-tinystories" in str(raised.value)


def test_unknown_source_on_the_command_line_is_refused(
    script: ModuleType, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.main(["--data", str(data), "--source", "tinystory=roneneldan/TinyStories@main"])
    assert "unknown source 'tinystory'" in capsys.readouterr().err


def test_text_of_the_project_reads_questions_as_conversations(script: ModuleType, data: Path) -> None:
    corpus = script.read_corpus(script.PROJECT_TEXT, data)
    conversations = [ways for ways in corpus.train if len(ways) > 1]
    assert len(corpus.train) > 300
    assert all(ways[0].startswith("<|user|>") and "</s><|assistant|>" in ways[0] for ways in conversations)


def test_merges_never_cross_from_a_word_into_punctuation_or_a_digit(script: ModuleType, data: Path) -> None:
    tokenizer = script.train_tokenizer([script.read_corpus(script.PROJECT_TEXT, data)], vocabulary=1024)
    tokens = tokenizer.encode("Wait, what?! It's 1999.\nDon't").tokens
    assert [token for token in tokens if not re.fullmatch("\u2581?[A-Za-z']+", token)] == [
        *("<s>", ",", "?", "!", "\u2581", "1", "9", "9", "9", ".", "<0x0A>")
    ]


def test_check_passes_for_what_the_script_has_written(
    script: ModuleType, data: Path, written: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--data", str(data), "--output", str(written[0]), "--check"]) == 0
    assert "agrees with its sources" in capsys.readouterr().out


def test_check_names_a_changed_tokenizer(
    script: ModuleType, data: Path, written: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = written[1] / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"version":"1.0"', '"version": "1.0"'), encoding="utf-8")
    assert script.main(["--data", str(data), "--output", str(written[1]), "--check"]) == 1
    assert "tokenizer.json is not the tokenizer that these sources give" in capsys.readouterr().out


def test_card_names_every_source_with_licence_and_revision(script: ModuleType, written: tuple[Path, Path]) -> None:
    card = (written[0] / "README.md").read_text(encoding="utf-8")
    for source in (*script.SOURCES, script.PROJECT_TEXT):
        assert f"| {source.title} | {source.licence} | " in card
        assert source.revision in card


def test_rate_warms_up_and_falls_to_a_fiftieth(script: ModuleType) -> None:
    plan = script.Plan(steps=100, warmup_steps=10)
    assert script._rate_share(5, plan) == 0.5
    assert script._rate_share(10, plan) == 1.0
    assert script._rate_share(100, plan) == pytest.approx(0.02)
