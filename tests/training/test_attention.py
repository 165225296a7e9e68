from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from slmcheck.training.attention import UnsupportedAttentionError, attention_by_rows

ENDS = torch.tensor([0, 3, 7, 8], dtype=torch.int32)


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, heads, 8, 4, generator=generator) for heads in (4, 2, 2)]


def test_each_row_sees_itself_and_its_past_only(states) -> None:
    query, key, value = states
    found, weights = attention_by_rows(torch.nn.Identity(), query, key, value, None, cu_seq_lens_q=ENDS)
    assert weights is None
    assert found.shape == (1, 8, 4, 4)
    for begin, end in ((0, 3), (3, 7), (7, 8)):
        alone = functional.scaled_dot_product_attention(
            query[:, :, begin:end],
            key[:, :, begin:end].repeat_interleave(2, dim=1),
            value[:, :, begin:end].repeat_interleave(2, dim=1),
            is_causal=True,
        )
        torch.testing.assert_close(found[:, begin:end], alone.transpose(1, 2))


def test_dropout_is_for_training_only(states) -> None:
    module = torch.nn.Identity().eval()
    one, other = (attention_by_rows(module, *states, None, dropout=0.9, cu_seq_lens_q=ENDS)[0] for _ in range(2))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cu_seq_lens_q": None}, "needs cu_seq_lens_q"),
        ({"softcap": 50.0}, "knows no softcap"),
        ({"s_aux": torch.zeros(4)}, "no sinks"),
        ({"sliding_window": 3}, "longer than the sliding window of 3"),
    ],
)
def test_what_it_does_not_do_is_refused(states, asked, said) -> None:
    with pytest.raises(UnsupportedAttentionError, match=said):
        attention_by_rows(torch.nn.Identity(), *states, None, **{"cu_seq_lens_q": ENDS, **asked})


def test_a_window_as_long_as_the_longest_row_changes_nothing(states) -> None:
    free, _ = attention_by_rows(torch.nn.Identity(), *states, None, cu_seq_lens_q=ENDS)
    windowed, _ = attention_by_rows(torch.nn.Identity(), *states, None, cu_seq_lens_q=ENDS, sliding_window=4)
    torch.testing.assert_close(free, windowed, rtol=0, atol=0)
