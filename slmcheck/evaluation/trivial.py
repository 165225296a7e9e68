"""What a trivial answer reaches on the rows of a run: shown beside every score, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from slmcheck.data import training_digest
from slmcheck.data.digests import row_digest
from slmcheck.data.leaks import input_text
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.diagnosis import surface
from slmcheck.diagnosis.surface import SurfaceAnswer
from slmcheck.errors import MissingExtraError
from slmcheck.evaluation.views import View
from slmcheck.metrics import majority
from slmcheck.records import Example, Json, Prediction
from slmcheck.storage import digest

CACHE_VERSION = 1


def trivial_predictions(view: View, *, work: bool) -> Mapping[str, tuple[Prediction, ...]]:
    """Trivial answers to the evaluation split by name.

    For classes `majority` (the most frequent training label) and `tf-idf` (with logistic regression); for other
    answers `copy` (the input itself) and `nearest` (the answer of the training row with the most alike words).

    Args:
        view: Whose rows are answered.
        work: Whether answers that the store lacks are made; what needs scikit-learn is left out where it is missing.
    """
    task, train, asked = view.recipe.task, view.splits.train, view.examples()
    if task == "language_modeling" or not train or not asked:
        return {}
    if task in CLASSIFICATIONS:
        labels = view.splits.labels
        learned = _kept("tf-idf", view, lambda: surface.linear_answers(train, asked, labels), work=work)
        found = {"majority": majority(train, asked)}
        return found if learned is None else {**found, "tf-idf": _answered(asked, learned)}
    nearest = _kept("nearest", view, lambda: surface.nearest_answers(train, asked), work=work)
    found = {"copy": _answered(asked, [SurfaceAnswer(_copied(item)) for item in asked])}
    return found if nearest is None else {**found, "nearest": _answered(asked, nearest)}


def _copied(example: Example) -> str:
    """What the user wrote, without the template: the longest text field of the row that is not the answer."""
    texts = [value for value in example.row.values() if isinstance(value, str) and value not in example.references]
    return max(texts, key=len, default=input_text(example))


def _kept(
    name: str, view: View, make: Callable[[], Sequence[SurfaceAnswer]], *, work: bool
) -> Sequence[SurfaceAnswer] | None:
    store = view.workspace.store
    recipe, examples = view.recipe, view.examples()
    key = digest(
        "trivial",
        {
            "name": name,
            "version": CACHE_VERSION,
            "train": [training_digest(item, recipe) for item in view.splits.train],
            "asked": [row_digest(item, "generate", recipe) for item in examples],
            "labels": list(view.splits.labels),
        },
    )
    stored = store.read_findings(key)
    if isinstance(stored, Mapping):
        return _read(stored)
    if not work:
        return None
    try:
        answers = make()
    except MissingExtraError:
        return None  # a judge without scikit-learn shows the majority alone
    document: Json = {
        "texts": [answer.text for answer in answers],
        "probabilities": [
            None if answer.probabilities is None else [round(value, 6) for value in answer.probabilities]
            for answer in answers
        ],
    }
    store.write_findings(key, document, {"trivial": name, "run": list(view.subject.run_keys)})
    return answers


def _read(stored: Mapping[str, Json]) -> list[SurfaceAnswer]:
    texts, probabilities = stored["texts"], stored["probabilities"]
    assert isinstance(texts, Sequence)
    assert isinstance(probabilities, Sequence)
    return [
        SurfaceAnswer(str(text), None if not isinstance(line, Sequence) else tuple(float(str(one)) for one in line))
        for text, line in zip(texts, probabilities, strict=True)
    ]


def _answered(asked: Sequence[Example], answers: Sequence[SurfaceAnswer]) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(
            id=item.id,
            prediction=answer.text,
            references=item.references,
            prompt=item.prompt,
            options=item.options,
            option_probabilities=answer.probabilities,
            group=item.group,
            slices=item.slices,
            row=item.row,
        )
        for item, answer in zip(asked, answers, strict=True)
    )
