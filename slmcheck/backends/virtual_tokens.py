"""A model whose adapter is a number of virtual tokens before each text, asked as any other model.

A leaf module: it imports torch and peft.
"""

from __future__ import annotations

import inspect
import warnings

import torch
from peft import PeftModel
from transformers.modeling_outputs import CausalLMOutput


class VirtualTokens(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """One forward pass of whole texts; the logits are those of the text alone."""

    def __init__(self, adapted: PeftModel) -> None:
        super().__init__()
        self.adapted = adapted
        self.tokens = int(adapted.active_peft_config.num_virtual_tokens)
        """Places of the context that the virtual tokens take."""
        base = adapted.get_base_model()
        self.device, self.config = base.device, base.config
        self._keeps_logits = "logits_to_keep" in inspect.signature(base.forward).parameters

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
    ) -> CausalLMOutput:
        """Logits of the last `logits_to_keep` tokens of each row, of all tokens where it is 0.

        A cache is never kept: the virtual tokens would be put before each new token again.
        """
        del use_cache
        kept = logits_to_keep or input_ids.shape[1]
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        more = {"logits_to_keep": kept} if self._keeps_logits else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the name under which peft passes a prefix
            logits = self.adapted(input_ids=input_ids, attention_mask=mask, use_cache=False, **more).logits
        return CausalLMOutput(logits=logits[:, -kept:])
