"""Checkpoint folder -> model in PyTorch, with every doubt an error.

transformers and peft only warn about weights that are missing or do not fit, and the model then answers with random or
base weights; here that is an error. A leaf module: it imports torch and transformers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import cached_file

from slmcheck.backends.checkpoint_files import check_weights
from slmcheck.backends.environment import expected_environment
from slmcheck.backends.facts import ModelFacts
from slmcheck.backends.padded import PaddedModel
from slmcheck.backends.protocol import LanguageModel
from slmcheck.backends.pytorch_probe import packed_if_equal
from slmcheck.data.hub_cache import gated_text
from slmcheck.data.tokenizers import TextTokenizer, as_text_tokenizer, read_tokenizer
from slmcheck.errors import CheckpointError, InputError
from slmcheck.records import Checkpoint, DeviceClass

if TYPE_CHECKING:
    from peft import PeftModel

    from slmcheck.backends.bottleneck import Bottlenecked

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # peft imports it, and it announces what it looked for

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
"""Rotary embeddings whose factors depend on the longest sequence of a forward pass."""


def load_pytorch(checkpoint: Checkpoint, *, device: DeviceClass, threads: int) -> LanguageModel:
    """See `slmcheck.backends.load`."""
    dtype = _dtype(checkpoint)
    _check_device(device)
    with quiet():
        if checkpoint.kind == "adapter":
            adapted = load_with_adapter(checkpoint, dtype, device=device)
            if is_prompt(adapted):
                return with_virtual_tokens(checkpoint, adapted.to(device), device=device, threads=threads)
            model = adapted.get_base_model()  # the adapter's layers are in it
        else:
            model = load_base(str(checkpoint.path), dtype, checkpoint.trust_remote_code)
    return engine_of(checkpoint, ready(model).to(device), device=device, threads=threads)


def load_pytorch_merged(checkpoint: Checkpoint, *, threads: int) -> LanguageModel:
    """See `slmcheck.backends.load_merged`."""
    return engine_of(checkpoint, load_merged(checkpoint), device="cpu", threads=threads)


def engine_of(checkpoint: Checkpoint, model: PreTrainedModel, *, device: DeviceClass, threads: int) -> LanguageModel:
    """The fastest way of asking a model in memory that gives what plain forward passes give."""
    if device == "cpu" and torch.get_num_threads() != 1:
        torch.set_num_threads(1)  # batches run side by side instead: faster, and equal to one thread bit for bit
    tokenizer, facts = _facts(checkpoint, model, device=device, threads=threads)
    if _rope_type(model) in LENGTH_DEPENDENT_ROPE:
        return PaddedModel(model, tokenizer, facts, rows_alone=True)
    return packed_if_equal(model, tokenizer, facts) or PaddedModel(model, tokenizer, facts, rows_alone=False)


def is_prompt(model: PeftModel | Bottlenecked) -> bool:
    """Whether an adapter stands before each text as virtual tokens, in place of changing layers."""
    return bool(getattr(model, "active_peft_config", None) and model.active_peft_config.is_prompt_learning)


def with_virtual_tokens(
    checkpoint: Checkpoint, model: PeftModel, *, device: DeviceClass, threads: int
) -> LanguageModel:
    """A model whose adapter stands before each text as virtual tokens; it is asked in padded rows."""
    from slmcheck.backends.virtual_tokens import VirtualTokens

    base = ready(model.get_base_model())
    tokenizer, facts = _facts(checkpoint, base, device=device, threads=threads)
    virtual = VirtualTokens(model.eval())
    if facts.context_tokens is not None:
        facts = replace(facts, context_tokens=facts.context_tokens - virtual.tokens)
    return PaddedModel(virtual, tokenizer, facts, rows_alone=False, remembers=False)


def _facts(
    checkpoint: Checkpoint, model: PreTrainedModel, *, device: DeviceClass, threads: int
) -> tuple[TextTokenizer, ModelFacts]:
    tokenizer = load_tokenizer(checkpoint)
    return tokenizer, ModelFacts(
        checkpoint_key=checkpoint.key,
        environment=expected_environment(checkpoint, device=device, threads=threads),
        eos_ids=eos_ids_of(model, tokenizer),
        context_tokens=context_of(model),
        vocabulary_size=int(model.get_output_embeddings().weight.shape[0]),
    )


def load_merged(checkpoint: Checkpoint) -> PreTrainedModel:
    """The plain model of a checkpoint in float32 on the CPU, an adapter merged into its base model.

    Raises:
        CheckpointError: If it cannot be loaded, or its adapter cannot be merged.
    """
    with quiet():
        if checkpoint.kind != "adapter":
            return ready(load_base(str(checkpoint.path), torch.float32, checkpoint.trust_remote_code))
        adapted = load_with_adapter(checkpoint, torch.float32, plain=True)
        if is_prompt(adapted):
            raise CheckpointError(
                f"The adapter {checkpoint.path} learns virtual tokens, which cannot be merged into its base model.\n"
                "So it has no ONNX export: its checkpoint runs in PyTorch, beside its base model.\n"
                "To deploy one graph, train another method: lora, or trainer adapters with method dora or bottleneck."
            )
        if not hasattr(adapted, "merge_and_unload"):
            return ready(adapted.get_base_model())  # small networks between the layers: they stay where they are
        try:
            return ready(adapted.merge_and_unload(safe_merge=True))
        except (AttributeError, NotImplementedError, ValueError) as error:
            raise CheckpointError(
                f"The adapter {checkpoint.path} cannot be merged into its base model: {_first_line(error)}\n"
                "Adapters of added weights (LoRA and its kin) can; others run beside their base model only."
            ) from error


def ready(model: PreTrainedModel) -> PreTrainedModel:
    """The model as it is asked: no dropout, no gradients, every term of its attention."""
    if getattr(model.config.get_text_config(), "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")  # sdpa leaves the soft cap out without a word
    return model.eval().requires_grad_(False)


def load_base(
    source: str, dtype: torch.dtype, trust_remote_code: bool, *, placed: Mapping[str, object] | None = None
) -> PreTrainedModel:
    """A causal language model of a folder or hub id, complete and in `dtype`.

    Args:
        source: Folder or hub id.
        dtype: Of the weights.
        trust_remote_code: Whether code of the model may run.
        placed: How to quantise the weights and where to put them, as transformers takes it.

    Raises:
        CheckpointError: If weights are missing, damaged, pickled, or do not fill the architecture.
    """
    name, revision = split_revision(source)
    if is_folder(name):
        check_weights(Path(name), "model")
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **(placed or {}),
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        refuse_gated(name, error)
        raise CheckpointError(
            f"The model {source} cannot be loaded: {_first_line(error)}\n"
            "Expected a causal language model that transformers saved, with config.json and safetensors.\n"
            "Where it needs code of its own, set trust_remote_code: true in the recipe."
        ) from error
    wrong = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if wrong:
        raise CheckpointError(
            f"{len(wrong)} weights of {type(model).__name__} are missing or of another shape: {', '.join(wrong[:3])}.\n"
            f"In {source}.\nSuch weights would be random. Give the checkpoint that belongs to this config.json."
        )
    return model


def refuse_gated(name: str, error: BaseException) -> None:
    """Say where a licence is accepted, if that is why the hub gave nothing.

    Raises:
        CheckpointError: If it is.
    """
    if "gated repo" in str(error).lower() or type(error).__name__ == "GatedRepoError":
        raise CheckpointError(gated_text("models", name)) from error


def load_with_adapter(
    checkpoint: Checkpoint, dtype: torch.dtype, *, device: DeviceClass = "cpu", plain: bool = False
) -> PeftModel | Bottlenecked:
    """An adapter on its base model, which is quantised where the adapter was trained on a quantised one.

    Args:
        checkpoint: The adapter.
        dtype: Of the base model's weights.
        device: Where a quantised base model is put.
        plain: Unfold quantised weights, so that the adapter can be merged.

    Raises:
        CheckpointError: If either is unusable or they do not belong together.
        MissingExtraError: If the base model is quantised and bitsandbytes is not installed.
    """
    from slmcheck.backends.adapters import load_adapter

    name = base_of(checkpoint)
    base = load_base_of(checkpoint, dtype, device=device, plain=plain)
    return load_adapter(checkpoint.path, base, base_folder=folder_of(name), base_name=name)


def load_base_of(
    checkpoint: Checkpoint, dtype: torch.dtype, *, device: DeviceClass = "cpu", plain: bool = False
) -> PreTrainedModel:
    """The base model of an adapter as the adapter needs it; arguments and errors as of `load_with_adapter`."""
    from slmcheck.backends.quantized import dequantized, load_quantized, read_quantization

    name, quantization = base_of(checkpoint), read_quantization(checkpoint.path)
    if quantization is None:
        return load_base(name, dtype, checkpoint.trust_remote_code)
    trust = checkpoint.trust_remote_code
    model = load_quantized(name, quantization, trust_remote_code=trust, device=device, compute=dtype)
    return dequantized(model) if plain else model


def folder_of(source: str) -> Path:
    """Where the files of a model lie: its folder, or its snapshot in the hub cache.

    Raises:
        CheckpointError: If the hub cache has no such snapshot.
    """
    name, revision = split_revision(source)
    if is_folder(name):
        return Path(name)
    file = cached_file(name, "config.json", revision=revision, local_files_only=True)
    if file is None:
        raise CheckpointError(f"The hub cache has no files of {source}.\nLoad it once with network access.")
    return Path(file).parent


def load_tokenizer(checkpoint: Checkpoint) -> TextTokenizer:
    """The tokenizer of a checkpoint: its own, else that of its base model.

    Raises:
        CheckpointError: If there is none, or it gives no character offsets.
    """
    source = tokenizer_source(checkpoint)
    name, revision = split_revision(source)
    try:
        if (Path(name) / "tokenizer.json").is_file():
            return read_tokenizer(Path(name))
        with quiet():
            trust = checkpoint.trust_remote_code
            return as_text_tokenizer(AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=trust))
    except (OSError, ValueError, InputError) as error:
        refuse_gated(name, error)
        raise CheckpointError(
            f"The tokenizer of {source} cannot be loaded: {_first_line(error)}\n"
            "Expected tokenizer.json and tokenizer_config.json beside the weights."
        ) from error


def eos_ids_of(model: PreTrainedModel, tokenizer: TextTokenizer) -> frozenset[int]:
    """Every token that ends a generation: those of the generation configuration, and the tokenizer's own."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*ids, tokenizer.eos_id) if token is not None)


def context_of(model: PreTrainedModel) -> int | None:
    """Longest sequence that the configuration allows, in tokens."""
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    return int(length) if isinstance(length, int) and length > 0 else None


def is_folder(name: str) -> bool:
    """Whether a model is named by a folder rather than by a hub id."""
    return Path(name).is_dir() or name.startswith(("/", "./", "../")) or name.count("/") > 1


def split_revision(source: str) -> tuple[str, str]:
    """`org/name@revision` -> (`org/name`, `revision`); a folder has the revision `main`."""
    if is_folder(source):
        return source, "main"
    name, _, revision = source.partition("@")
    return name, revision or "main"


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no warnings of the loading libraries: what they would warn of is checked."""
    bars = transformers.utils.logging.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("transformers", "peft", "bitsandbytes")]
    levels = [logger.level for logger in loggers]
    transformers.utils.logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # What peft finds installed (bitsandbytes) is imported with it, and parts of torch that warn of themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()


def tokenizer_source(checkpoint: Checkpoint) -> str:
    """Folder or hub id of a checkpoint's tokenizer: its own, else that of its base model."""
    own = (checkpoint.path / "tokenizer.json").is_file()
    return base_of(checkpoint) if checkpoint.kind == "adapter" and not own else str(checkpoint.path)


def _check_device(device: DeviceClass) -> None:
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[device]:
        names = ", ".join(name for name, found in present.items() if found)
        raise CheckpointError(
            f"Device '{device}' is not available to torch {torch.__version__}.\nAvailable: {names}.\n"
            "Choose one with --slm-device, or install the torch build for this device."
        )


def base_of(checkpoint: Checkpoint) -> str:
    """Folder or hub id of an adapter's base model.

    Raises:
        CheckpointError: If it names none.
    """
    if checkpoint.base_model is None:
        raise CheckpointError(
            f"The adapter {checkpoint.path} comes without its base model.\n"
            "An adapter cannot run alone: name base_model."
        )
    return checkpoint.base_model


def _dtype(checkpoint: Checkpoint) -> torch.dtype:
    if checkpoint.precision not in DTYPES:
        raise CheckpointError(
            f"PyTorch does not run precision '{checkpoint.precision}' of {checkpoint.path}.\n"
            f"Available: {', '.join(DTYPES)}."
        )
    return DTYPES[checkpoint.precision]


def _rope_type(model: PreTrainedModel) -> str | None:
    parameters = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    found = parameters.get("rope_type")
    return found if isinstance(found, str) else None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
