"""Tiles of rows and vocabulary give what one large softmax gives."""

from __future__ import annotations

import pytest

from slmcheck.backends import head as head_module

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.25, None), (1.0, 3.0), (2.0, 5.0)])
def test_log_probabilities_equal_a_plain_softmax(monkeypatch, bias, scale, softcap):
    monkeypatch.setattr(head_module, "ROWS", 10)
    monkeypatch.setattr(head_module, "TILE", 7)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 16, generator=generator)
    added = torch.randn(50, generator=generator) if bias else None
    hidden = torch.randn(33, 16, generator=generator)
    rows = torch.tensor([0, 0, 3, 9, 10, 11, 11, 32])
    targets = torch.tensor([0, 49, 6, 7, 13, 14, 48, 21])
    head = head_module.LanguageHead(weight, added, scale=scale, softcap=softcap)
    logits = torch.nn.functional.linear(hidden.double(), weight.double(), None if added is None else added.double())
    logits = logits * scale
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    expected = torch.log_softmax(logits, dim=-1)[rows, targets]
    torch.testing.assert_close(head.log_probabilities(hidden, rows, targets), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(head.logits(hidden), logits.float(), atol=1e-4, rtol=0)


def test_a_certain_token_has_a_log_probability_of_at_most_zero():
    weight = torch.eye(4) * 100
    head = head_module.LanguageHead(weight, None)
    found = head.log_probabilities(torch.eye(4), torch.arange(4), torch.arange(4))
    assert (found <= 0).all()
