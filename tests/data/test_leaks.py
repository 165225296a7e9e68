"""Rows that training rows give away, planted one by one; and rows that only look alike."""

from __future__ import annotations

import random

import pytest

from slmcheck.data.label_checks import doubtful_labels
from slmcheck.data.leaks import find_leaks
from slmcheck.records import Example

WORDS = [f"{a}{b}" for a in ("ta", "me", "lo", "ri", "san", "ver") for b in ("den", "mor", "li", "gon", "bra", "tus")]


def text(seed: int, length: int = 12) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def rows(*texts: str, label: str = "glad") -> tuple[Example, ...]:
    return tuple(
        Example(id=str(n), row={}, prompt=f"Phrase: {one}\nTone:", references=(label,), source=f"row {n}")
        for n, one in enumerate(texts)
    )


TRAIN = rows(*(text(seed) for seed in range(200)))


def test_an_equal_input_in_other_letters_is_exact():
    (leak,) = find_leaks(TRAIN, rows(text(7).upper(), text(1000)))
    assert (leak.is_exact, leak.similarity, leak.known) == (True, 1.0, TRAIN[7])


def test_a_row_with_one_word_changed_is_nearly_a_training_row():
    changed = text(7, 24).split()
    changed[3] = "other"
    (leak,) = find_leaks((*TRAIN, *rows(text(7, 24))), rows(" ".join(changed), text(1000)))
    assert not leak.is_exact
    assert leak.similarity >= 0.8


def test_a_row_of_which_half_stands_in_training_rows_is_found_by_its_n_grams():
    long_row = " ".join([text(1000, 20), text(1001, 30)])
    (leak,) = find_leaks((*TRAIN, *rows(text(1000, 10) + " " + text(1001, 30))), rows(long_row, text(1002, 50)))
    assert leak.row.id == "0"
    assert leak.similarity >= 0.5


def test_the_words_of_the_template_make_nothing_alike():
    frame = "Read the following message of a customer and say what tone it has, in one word: {} Answer in one word:"
    known = rows(*(frame.format(text(seed, 5)) for seed in range(100)))
    asked = rows(*(frame.format(text(seed, 5)) for seed in range(500, 600)))
    assert find_leaks(known, asked) == ()


def test_other_rows_leak_nothing():
    assert find_leaks(TRAIN, rows(*(text(seed) for seed in range(1000, 1100)))) == ()
    assert find_leaks((), TRAIN) == ()
    assert find_leaks(TRAIN, ()) == ()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flipped_labels_are_first_on_the_review_list(seed):
    rng = random.Random(seed)
    made = []
    for n in range(400):
        label = ("glad", "sad")[n % 2]
        words = [rng.choice(WORDS[:18] if label == "glad" else WORDS[18:]) for _ in range(10)]
        made.append((label, " ".join(words)))
    flipped = set(rng.sample(range(400), 10))
    examples = tuple(
        Example(
            id=str(n),
            row={},
            prompt=words,
            references=(("sad" if label == "glad" else "glad") if n in flipped else label,),
        )
        for n, (label, words) in enumerate(made)
    )
    found = [int(item.id) for item, _ in doubtful_labels(examples)]
    assert set(found[:10]) == flipped


def test_few_rows_have_no_review_list():
    assert doubtful_labels(TRAIN[:20]) == []
