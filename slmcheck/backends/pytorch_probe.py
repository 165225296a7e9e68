"""Whether packed forward passes of a model give what plain ones give: tried once, on a few short sequences.

A leaf module: it imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedModel

from slmcheck.backends.facts import ModelFacts
from slmcheck.backends.head import LanguageHead
from slmcheck.backends.layout import SHARED_FROM
from slmcheck.backends.memory import is_out_of_memory
from slmcheck.backends.packed_attention import NAME, UnsupportedAttentionError
from slmcheck.backends.protocol import PaddedBatch, TokenTree
from slmcheck.backends.pytorch import PackedModel
from slmcheck.data.tokenizers import TextTokenizer

LENGTHS = (3, 9, 24)
"""Lengths of the probed sequences, in tokens."""
LONGEST_WINDOW = 512
"""Sliding windows up to this length are probed by a sequence longer than they are."""
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.2}
"""Largest difference of two logits, relative to their spread; a sequence that sees another is off by more than 1."""


def packed_if_equal(model: PreTrainedModel, tokenizer: TextTokenizer, facts: ModelFacts) -> PackedModel | None:
    """The packed engine of a model, or None where its logits are not those of a plain forward pass."""
    head = _head(model)
    if head is None or not model._supports_attention_backend or model.base_model is model:
        return None
    sequences = _sequences(model.config.get_text_config(), facts)
    expected = [_plain_logits(model, sequence) for sequence in sequences]
    plain = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    packed = PackedModel(model, tokenizer, head, facts)
    tolerance = TOLERANCE[model.dtype] * max(1.0, float(np.std(np.concatenate(expected))))
    try:
        equal = (
            _agrees(_scored(packed, sequences), [_log_softmax(values) for values in expected], tolerance)
            and _agrees(_decoded(packed, sequences), [values[-1] for values in expected], tolerance)
            and _branches_agree(packed, model_logits=expected, sequences=sequences, tolerance=tolerance)
            and _windows_are_planned(model.config.get_text_config(), packed)
        )
    except (UnsupportedAttentionError, AttributeError, TypeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        equal = False  # an architecture that does not pass what the plans need
    if not equal:
        model.set_attn_implementation(plain)
        return None
    return packed


def _head(model: PreTrainedModel) -> LanguageHead | None:
    """The head with the scaling that the configuration states; the probe sees whether that is all."""
    linear = model.get_output_embeddings()
    if type(linear) is not torch.nn.Linear:
        return None
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return LanguageHead(
        linear.weight,
        linear.bias,
        scale=float(scale) if isinstance(scale, float | int) else 1.0 / divisor if divisor else 1.0,
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def _sequences(config: PreTrainedConfig, facts: ModelFacts) -> list[NDArray[np.int64]]:
    window = _window(config)
    lengths = [*LENGTHS, window + 8] if window is not None and window <= LONGEST_WINDOW else list(LENGTHS)
    rng = np.random.default_rng(0)
    allowed = facts.context_tokens or max(lengths)
    return [rng.integers(3, facts.vocabulary_size, size=min(length, allowed)) for length in lengths]


def _plain_logits(model: PreTrainedModel, sequence: NDArray[np.int64]) -> NDArray[np.float32]:
    with torch.inference_mode():
        ids = torch.from_numpy(sequence)[None].to(model.device)
        values: NDArray[np.float32] = model(input_ids=ids, use_cache=False).logits[0].float().cpu().numpy()
        return values


def _scored(packed: PackedModel, sequences: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    batch = PaddedBatch.of([sequence.tolist() for sequence in sequences], pad_id=0, pad_left=False)
    return [_log_softmax(values) for values in packed.logits(batch)]


def _decoded(packed: PackedModel, sequences: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    decoder = packed.decoder(rows=len(sequences), length=max(map(len, sequences)))
    decoder.add([sequence[:-1].tolist() for sequence in sequences])
    return list(decoder.step(np.asarray([sequence[-1] for sequence in sequences])))


def _branches_agree(
    packed: PackedModel,
    *,
    model_logits: Sequence[NDArray[np.float32]],
    sequences: Sequence[NDArray[np.int64]],
    tolerance: float,
) -> bool:
    """A tree with a false branch before the true one scores the true one as a plain sequence, alone and beside it."""
    sequence, expected = sequences[-1], _log_softmax(model_logits[-1])
    trunk, length = len(sequence) // 2, len(sequence)
    false = (sequence[trunk : trunk + 1] + 1) % packed.vocabulary_size
    plain = TokenTree.sequence(sequence.tolist(), np.arange(1, length))
    tree = TokenTree(
        tokens=np.concatenate([sequence[:trunk], false, sequence[trunk:-1]]),
        parents=np.concatenate([np.arange(-1, trunk - 1), [trunk - 1, trunk - 1], np.arange(trunk + 1, length - 1)]),
        asked=np.concatenate([[trunk - 1], np.arange(trunk + 1, length)]),
        targets=sequence[trunk:],
    )
    right = expected[np.arange(length - 1), sequence[1:]]
    found = [packed.log_probabilities([tree])[0]]
    packed.shared_from = 1  # the trees have a common beginning, which is then read once
    found += packed.log_probabilities([plain, tree])
    packed.shared_from = SHARED_FROM
    return _agrees(found, [right[trunk - 1 :], right, right[trunk - 1 :]], tolerance)


def _windows_are_planned(config: PreTrainedConfig, packed: PackedModel) -> bool:
    window = _window(config)
    return window is None or window in packed.windows


def _window(config: PreTrainedConfig) -> int | None:
    """The sliding window that some layer of the architecture uses."""
    if getattr(config, "attention_chunk_size", None):
        return -1  # chunked attention, which no plan computes
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None)
    if not isinstance(window, int) or getattr(config, "use_sliding_window", True) is False:
        return None
    return window if layers is None or any("sliding" in str(layer) for layer in layers) else None


def _agrees(found: Sequence[NDArray[np.floating]], expected: Sequence[NDArray[np.floating]], tolerance: float) -> bool:
    return all(bool(np.all(np.abs(one - other) <= tolerance)) for one, other in zip(found, expected, strict=True))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    values: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return values
