"""What is loaded is what was saved, and everything else is an error that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, TokenTree, load, load_merged
from slmcheck.backends.base_identity import record_base
from slmcheck.errors import CheckpointError
from slmcheck.records import Checkpoint

# peft asks transformers by a name that transformers 5 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

ROW = [1, 50, 60, 70, 80, 90]


@pytest.fixture
def base(random_model, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(random_model("llama", num_key_value_heads=2), tmp_path / "base"))


@pytest.fixture
def save_adapter(base, tmp_path) -> Callable[..., Path]:
    """Save a LoRA adapter with random weights on `base`."""

    def save(name: str = "adapter", **config: object) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_pretrained(base)
        settings = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **config}
        adapted = get_peft_model(model, LoraConfig(**settings))
        with torch.no_grad():
            for key, value in adapted.named_parameters():
                if "lora_" in key:
                    value.normal_(std=0.2)
        adapted.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


def load_model(path: Path, **fields: object) -> LanguageModel:
    return load(Checkpoint(kind="model", path=path, key="k", **fields))


def load_adapter(path: Path, base: Path) -> LanguageModel:
    return load(Checkpoint(kind="adapter", path=path, key="k", base_model=str(base)))


def scores(model: LanguageModel) -> np.ndarray:
    return model.log_probabilities([TokenTree.sequence(ROW, range(1, len(ROW)))])[0]


def test_a_model_says_what_it_is(base):
    model = load_model(base)
    assert (model.backend, model.context_tokens, model.vocabulary_size) == ("pytorch", 128, 260)
    assert model.environment.dtype == "float32"
    assert model.eos_ids == {2}


def test_every_eos_of_the_generation_configuration_ends_a_text(base):
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}), encoding="utf-8")
    assert load_model(base).eos_ids == {2, 7, 9}


def test_an_adapter_answers_as_peft_does(base, save_adapter):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = save_adapter()
    reference = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    with torch.no_grad():
        logits = torch.log_softmax(reference(input_ids=torch.tensor([ROW])).logits[0].double(), dim=-1).numpy()
    found = scores(load_adapter(adapter, base))
    np.testing.assert_allclose(found, logits[np.arange(len(ROW) - 1), ROW[1:]], atol=3e-5)
    assert np.abs(found - scores(load_model(base))).max() > 0.1


def test_a_merged_adapter_answers_as_the_adapter_but_for_rounding(base, save_adapter):
    adapter = Checkpoint(kind="adapter", path=save_adapter(), key="k", base_model=str(base))
    np.testing.assert_allclose(scores(load_merged(adapter)), scores(load(adapter)), atol=2e-4)


def test_an_adapter_that_cannot_be_merged_is_named(base, save_adapter, monkeypatch):
    from peft import PeftModel

    def refuse(self: object, **kwargs: object) -> None:
        raise NotImplementedError("this method merges nothing")

    monkeypatch.setattr(PeftModel, "merge_and_unload", refuse, raising=False)
    with pytest.raises(CheckpointError, match="cannot be merged"):
        load_merged(Checkpoint(kind="adapter", path=save_adapter(), key="k", base_model=str(base)))


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(base):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    checkpoint = Checkpoint(kind="model", path=base, key="k")
    on_gpu = load(checkpoint, device="cuda")
    assert on_gpu.engine.startswith("packed")
    np.testing.assert_allclose(scores(on_gpu), scores(load(checkpoint)), atol=1e-3)
    half = Checkpoint(kind="model", path=base, key="k", precision="bf16")
    np.testing.assert_allclose(scores(load(half, device="cuda")), scores(on_gpu), atol=0.5)


def test_a_device_that_is_not_there_is_named(base):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(CheckpointError, match=r"(?s)'cuda' is not available.*cpu"):
        load(Checkpoint(kind="model", path=base, key="k"), device="cuda")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "nowhere")


def test_missing_weights_are_named(base):
    (base / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"Weights are missing: model\.safetensors"):
        load_model(base)


def test_pickled_weights_are_refused(base):
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled weights only: pytorch_model\.bin"):
        load_model(base)


@pytest.mark.parametrize("kept", [0, 5, 4000, -1])
def test_truncated_weights_are_refused(base, kept):
    file = base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is (damaged|no safetensors file)"):
        load_model(base)


def test_a_missing_shard_is_named(base):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointError, match="model-00001-of-00002"):
        load_model(base)


def test_weights_that_do_not_fill_the_architecture_are_refused(base):
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = 3
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="weights of LlamaForCausalLM are missing"):
        load_model(base)


def test_weights_of_another_width_are_refused(base):
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config["intermediate_size"] = 80
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"another shape|cannot be loaded"):
        load_model(base)


def test_code_of_the_model_runs_only_when_allowed(base):
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config.update(model_type="mine", auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"})
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (base / "own.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    with pytest.raises(CheckpointError, match="trust_remote_code"):
        load_model(base)


def test_a_folder_without_a_tokenizer_is_refused(base):
    (base / "tokenizer.json").unlink()
    (base / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_model(base)


def test_an_unknown_precision_is_refused(base):
    with pytest.raises(CheckpointError, match="precision 'int3'"):
        load_model(base, precision="int3")


def test_half_precision_is_recorded(base):
    model = load_model(base, precision="bf16")
    assert model.environment.dtype == "bfloat16"
    assert model.engine.startswith("packed")


def test_an_adapter_without_its_base_model_is_refused(save_adapter):
    with pytest.raises(CheckpointError, match="without its base model"):
        load(Checkpoint(kind="adapter", path=save_adapter(), key="k"))


def test_an_adapter_of_other_layers_is_refused_although_peft_only_warns(base, save_adapter):
    adapter = save_adapter(target_modules=["q_proj", "v_proj"])
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    settings["target_modules"] = ["q_proj", "up_proj"]
    (adapter / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"(?s)4 missing: .*up_proj.*4 without a place: .*v_proj"):
        load_adapter(adapter, base)


def test_an_adapter_of_another_width_is_refused(base, save_adapter, random_model):
    with pytest.raises(CheckpointError, match="does not fit base model"):
        load_adapter(save_adapter(), random_model("llama", num_key_value_heads=2, hidden_size=64))


def test_an_adapter_that_matches_no_module_is_refused(base, save_adapter, random_model):
    with pytest.raises(CheckpointError, match=r"does not fit base model|do not fit base model"):
        load_adapter(save_adapter(target_modules=["q_proj"]), random_model("gpt2", n_embd=32, n_layer=2, n_head=4))


def test_an_adapter_trained_on_other_weights_is_refused(base, save_adapter, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    adapter = save_adapter()
    record_base(adapter, base, name="mine/base")
    scores(load_adapter(adapter, base))
    other = Path(shutil.copytree(base, tmp_path / "other"))
    weights = load_file(other / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] *= torch.tensor(1.05)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"(?s)trained on other weights.*mine/base"):
        load_adapter(adapter, other)


def test_an_adapter_that_diverged_is_refused(base, save_adapter):
    import torch
    from safetensors.torch import load_file, save_file

    file = save_adapter() / "adapter_model.safetensors"
    weights = load_file(file)
    weights[sorted(weights)[0]][0, 0] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="not finite"):
        load_adapter(file.parent, base)


def test_a_truncated_adapter_is_refused(base, save_adapter):
    file = save_adapter() / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors is damaged"):
        load_adapter(file.parent, base)


def test_virtual_tokens_answer_beside_their_base_model_and_do_not_merge(base, tmp_path):
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "prompt")
    checkpoint = Checkpoint(kind="adapter", path=tmp_path / "prompt", key="k", base_model=str(base))
    assert load(checkpoint).engine == "padded: right-padded rows"
    with pytest.raises(CheckpointError, match="virtual tokens"):
        load_merged(checkpoint)


def test_saved_predictions_are_no_model(tmp_path):
    with pytest.raises(CheckpointError, match="saved predictions"):
        load(Checkpoint(kind="predictions", path=tmp_path / "rows.jsonl", key="k"))
