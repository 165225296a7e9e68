"""Right exports are within rounding; every planted fault is beyond it; what could not be compared is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.backends import LanguageModel, PaddedBatch, load
from slmcheck.errors import PredictionError, UndefinedScoreError, UnknownMetricError
from slmcheck.gates import ScoreSource
from slmcheck.parity import LOGIT_SCORES, TOLERANCES, agreement, breaches, compare, score
from slmcheck.parity.reducing import Compared, differences
from slmcheck.records import Checkpoint, DataSpec, Example, Prediction, Recipe

SOURCE = ScoreSource(name="run.onnx(fp32)", task="generation")
RECIPE = Recipe(name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"))


class Altered:
    """A model whose logits are changed before they are compared."""

    def __init__(self, model: LanguageModel, change) -> None:
        self._model, self._change = model, change

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def logits(self, batch: PaddedBatch) -> list[np.ndarray]:
        return [self._change(values.copy()) for values in self._model.logits(batch)]


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    texts = ["The price went up.", "A reply of medium length, with numbers: 12, 40.", "ok", "x" * 50, "Wo bist du?"]
    return [
        Example(id=f"e{index}", row={}, prompt=f"Q: {text}\nA:", answer=f" {text[::-1]}", source=f"t.jsonl:{index + 1}")
        for index, text in enumerate(texts * 3)
    ]


@pytest.fixture(scope="module")
def reference(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="model", path=exported_model[0], key="source"))


@pytest.fixture(scope="module")
def exported(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="onnx", path=exported_model[1], key="graph"))


def test_a_right_export_is_within_the_tolerances(reference, exported, examples):
    rows = compare(reference, exported, examples, recipe=RECIPE)
    assert breaches(rows, "fp32", agreement=1.0) == ()
    assert rows.example_ids == tuple(example.id for example in examples)
    assert rows.tokens == sum(len(example.prompt) + len(example.answer) + 2 for example in examples)
    assert float(score("top1", rows, SOURCE)) == 1.0
    assert float(score("logit_max", rows, SOURCE)) < 3e-5
    assert float(score("perplexity_ratio", rows, SOURCE)) == pytest.approx(1, abs=1e-6)


def test_scores_equal_a_plain_computation(reference, examples):
    rng = np.random.default_rng(0)
    noise = {}

    def shake(values: np.ndarray) -> np.ndarray:
        noise.setdefault(values.shape, rng.normal(scale=0.2, size=values.shape).astype(np.float32))
        return values + noise[values.shape]

    rows = compare(reference, Altered(reference, shake), examples[:3], recipe=RECIPE)
    plain, shaken, nll = [], [], []
    for example in examples[:3]:
        ids = [1, *reference.tokenizer.tokenize(example.prompt + example.answer)[0], 2]
        (values,) = reference.logits(PaddedBatch.of([ids], pad_id=0, pad_left=False))
        plain.append(values.astype(np.float64))
        shaken.append((values + noise[values.shape]).astype(np.float64))
        first = 1 + len(example.prompt.encode())
        p, q = (one - np.log(np.exp(one).sum(axis=1, keepdims=True)) for one in (plain[-1], shaken[-1]))
        places = np.arange(first, len(ids))
        change = p[places - 1, np.asarray(ids)[places]] - q[places - 1, np.asarray(ids)[places]]
        nll.append(change.mean())
    p, q = np.concatenate(plain), np.concatenate(shaken)
    log_p, log_q = (one - np.log(np.exp(one).sum(axis=1, keepdims=True)) for one in (p, q))
    values = {name: float(score(name, rows, SOURCE)) for name in LOGIT_SCORES}
    assert values["logit_max"] == pytest.approx(np.abs(p - q).max() / p.std(), rel=1e-5)
    assert values["logit_mean"] == pytest.approx(np.abs(p - q).mean() / p.std(), rel=1e-5)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    assert values["kl"] == pytest.approx(kl.mean(), rel=1e-5)
    assert values["kl_p99"] == pytest.approx(np.quantile(kl, 0.99), rel=1e-5)
    assert values["kl_max"] == pytest.approx(kl.max(), rel=1e-5)
    top_p, top_q = (np.argsort(-one, axis=1, kind="stable")[:, :5] for one in (p, q))
    overlaps = [len(set(one) & set(two)) / 5 for one, two in zip(top_p.tolist(), top_q.tolist(), strict=True)]
    assert values["top5"] == pytest.approx(np.mean(overlaps))
    assert values["top1"] == (p.argmax(axis=1) == q.argmax(axis=1)).mean()
    assert values["perplexity_ratio"] == pytest.approx(np.exp(np.mean(nll)), rel=1e-5)


def test_scores_do_not_depend_on_the_batch(reference, exported, examples):
    def shake(values: np.ndarray) -> np.ndarray:
        return values * np.float32(1.01)

    other = Altered(exported, shake)
    alone = replace(RECIPE, evaluation=replace(RECIPE.evaluation, batch_tokens=1))
    first, second = (
        compare(reference, other, examples, recipe=RECIPE),
        compare(reference, other, examples, recipe=alone),
    )
    for name in ("logit_max", "logit_mean", "kl", "top1", "perplexity_ratio"):
        assert float(score(name, first, SOURCE)) == pytest.approx(float(score(name, second, SOURCE)), rel=1e-3)


def test_documents_are_compared_in_parts_of_the_context(reference, exported):
    recipe = replace(RECIPE, task="language_modeling")
    rows = compare(reference, exported, [Example(id="d", row={}, answer="abc " * 90)], recipe=recipe)
    assert rows.tokens == 361
    assert int(rows.column("scored")[0]) == 358  # the first token of each of three parts has no prediction
    assert breaches(rows, "fp32") == ()


WEIGHT_FAULTS = {
    "a matrix stored as fp16": lambda weight: weight.astype(np.float16).astype(np.float32),
    "a matrix one percent too large": lambda weight: weight * np.float32(1.01),
    "one weight four deviations off": lambda weight: (
        weight + 4 * weight.std() * (np.arange(weight.size) == 7).reshape(weight.shape).astype(np.float32)
    ),
    "a matrix clipped": lambda weight: np.clip(weight, -0.4 * np.abs(weight).max(), 0.4 * np.abs(weight).max()),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
@pytest.mark.parametrize("module", ["self_attn.q_proj", "mlp.down_proj"])
def test_a_wrong_weight_is_beyond_rounding(reference, exported_model, examples, tmp_path, fault, module):
    def plant(model) -> None:
        from onnx import numpy_helper

        for tensor in model.graph.initializer:
            if f"layers.1.{module}" in tensor.name or tensor.name == _transposed_name(model, module):
                array = WEIGHT_FAULTS[fault](numpy_helper.to_array(tensor)).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    rows = compare(reference, altered_graph(exported_model[1], tmp_path, plant), examples, recipe=RECIPE)
    assert "logit_max" in {breach.score for breach in breaches(rows, "fp32")}


def _transposed_name(model, module: str) -> str:
    """The weight that the module's matrix product reads, where the exporter renamed it."""
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props), "")
        if node.op_type == "MatMul" and f"layers.1.{module}'" in scopes:
            return str(node.input[1])
    raise AssertionError(f"no matrix product of {module}")


def test_another_epsilon_is_beyond_rounding(reference, exported_model, examples, tmp_path):
    def plant(model) -> None:
        from onnx import numpy_helper

        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.size == 1 and np.allclose(array, 1e-6, rtol=0.1, atol=0):
                tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, 1e-2), tensor.name))

    rows = compare(reference, altered_graph(exported_model[1], tmp_path, plant), examples, recipe=RECIPE)
    assert "logit_max" in {breach.score for breach in breaches(rows, "fp32")}


def test_a_graph_that_ignores_its_mask_is_seen_by_padding_on_the_left(reference, exported, examples):
    class Unmasked(Altered):
        def logits(self, batch: PaddedBatch) -> list[np.ndarray]:
            whole = PaddedBatch(ids=batch.ids, mask=np.ones_like(batch.mask), positions=batch.positions)
            values = self._model.logits(whole)
            return [row[mask.astype(bool)] for row, mask in zip(values, batch.mask, strict=True)]

    rows = compare(
        reference,
        Unmasked(exported, None),
        examples,
        recipe=replace(RECIPE, evaluation=replace(RECIPE.evaluation, batch_tokens=300)),
    )
    assert "logit_max" in {breach.score for breach in breaches(rows, "fp32")}


def altered_graph(folder, tmp_path, edit) -> LanguageModel:
    """A copy of an export whose graph was edited, described as if it had been exported so."""
    import hashlib
    import shutil

    import onnx

    from slmcheck.backends.onnx_folder import read_facts, write_facts

    graph = shutil.copytree(folder, tmp_path / "altered")
    facts, model = read_facts(graph), onnx.load(graph / "model.onnx")
    edit(model)
    onnx.save(model, graph / "model.onnx")
    content = (graph / "model.onnx").read_bytes()
    sizes = {**facts.sizes, "model.onnx": len(content)}
    write_facts(
        graph, replace(facts, sizes=sizes, sha256={**facts.sha256, "model.onnx": hashlib.sha256(content).hexdigest()})
    )
    return load(Checkpoint(kind="onnx", path=graph, key="altered"))


def test_no_examples_are_no_agreement(reference, exported):
    with pytest.raises(PredictionError, match="no examples"):
        compare(reference, exported, [], recipe=RECIPE)


def test_numbers_that_are_none_are_no_agreement(reference, exported, examples):
    def spoil(values: np.ndarray) -> np.ndarray:
        values[0, 0] = np.nan
        return values

    with pytest.raises(PredictionError, match=r"onnxruntime gives logits that are not numbers for t\.jsonl"):
        compare(reference, Altered(exported, spoil), examples, recipe=RECIPE)


def test_logits_of_another_shape_are_no_agreement(reference, exported, examples):
    with pytest.raises(PredictionError, match="shapes"):
        compare(reference, Altered(exported, lambda values: values[:, :-1]), examples, recipe=RECIPE)


def test_another_vocabulary_is_no_agreement(reference, random_model, examples):
    other = load(Checkpoint(kind="model", path=random_model("llama", vocab_size=300), key="k"))
    with pytest.raises(PredictionError, match="260 and 300"):
        compare(reference, other, examples, recipe=RECIPE)


def test_another_tokenizer_is_no_agreement(reference, exported_model, examples, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(exported_model[0], tmp_path / "model")
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(PredictionError, match=r"tokenizers of the two models read t\.jsonl:1 differently"):
        compare(reference, load(Checkpoint(kind="model", path=folder, key="k")), examples, recipe=RECIPE)


def test_a_row_beyond_the_context_is_named(reference, exported, examples):
    long = replace(examples[0], prompt="x" * 200)
    with pytest.raises(PredictionError, match=r"t\.jsonl:1 \(id e0\) has \d+ tokens"):
        compare(reference, exported, [long], recipe=RECIPE)


def predictions(answers: Sequence[str | None]) -> list[Prediction]:
    return [Prediction(id=str(index), prediction=answer, references=("a",)) for index, answer in enumerate(answers)]


def test_agreement_is_the_share_of_equal_answers():
    found = agreement(predictions(["a", "b", "c", "d"]), predictions(["a", "b", "x", "d"]), SOURCE)
    assert float(found) == 0.75
    assert found.n == 4


def test_agreement_of_all_has_an_interval_below_one():
    found = agreement(predictions(["a"] * 149), predictions(["a"] * 149), SOURCE)
    assert found.interval is not None
    assert 0.97 < found.interval[0] < 0.99


def test_agreement_of_other_examples_is_undefined():
    with pytest.raises(UndefinedScoreError, match="same examples"):
        agreement(predictions(["a", "b"]), predictions(["a"]), SOURCE)


def test_agreement_without_answers_is_undefined():
    with pytest.raises(UndefinedScoreError, match="no answers"):
        agreement(predictions([None]), predictions([None]), SOURCE)


def test_an_unknown_score_is_named(reference, examples):
    rows = compare(reference, reference, examples[:1], recipe=RECIPE)
    with pytest.raises(UnknownMetricError, match="logit_max"):
        score("cosine", rows, SOURCE)


def test_every_precision_of_the_export_has_tolerances(reference, examples):
    from slmcheck.export import PRECISIONS

    assert set(TOLERANCES) == set(PRECISIONS)
    rows = compare(reference, reference, examples[:1], recipe=RECIPE)
    with pytest.raises(UnknownMetricError, match="'bf16'"):
        breaches(rows, "bf16")


def test_a_tie_that_rounding_turns_is_no_breach(reference, examples):
    rows = compare(reference, reference, examples[:1], recipe=RECIPE)
    tied = replace(rows, rows=tuple(replace(row, same_top=row.tokens - 1) for row in rows.rows))
    assert float(score("top1", tied, SOURCE)) < 1
    assert breaches(tied, "fp32") == ()


def test_long_sequences_are_reduced_in_parts(monkeypatch):
    from slmcheck.parity import reducing

    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(20, 9)).astype(np.float32) for _ in range(2))
    ids = rng.integers(0, 9, size=20).tolist()
    compared = Compared(one, other, ids, range(5, 20))
    (whole,) = differences([compared])
    monkeypatch.setattr(reducing, "ELEMENTS", 30)
    (parts,) = differences([compared])
    assert parts.tokens == whole.tokens == 20
    assert parts.scored == whole.scored == 15
    assert parts.other_nll == pytest.approx(whole.other_nll)
    assert parts.largest == whole.largest
    np.testing.assert_allclose(parts.kl, whole.kl)


@given(st.integers(1, 9), st.integers(2, 40), st.sampled_from([1e-5, 1e-2, 1.0, 30.0]), st.integers(0, 2**32 - 1))
def test_reductions_equal_a_plain_computation_in_double_precision(tokens, vocabulary, size, seed):
    rng = np.random.default_rng(seed)
    one = rng.normal(scale=7, size=(tokens, vocabulary)).astype(np.float32)
    other = (one + rng.normal(scale=size, size=one.shape)).astype(np.float32)
    ids, scored = rng.integers(0, vocabulary, size=tokens).tolist(), range(1, tokens)
    (found,) = differences([Compared(one, other, ids, scored)])
    p, q = (
        values - np.log(np.exp(values - values.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        - values.max(axis=1, keepdims=True)
        for values in (one.astype(np.float64), other.astype(np.float64))
    )  # fmt: skip
    np.testing.assert_allclose(found.kl, (np.exp(p) * (p - q)).sum(axis=1), rtol=1e-3, atol=1e-12)
    assert found.largest == pytest.approx(np.abs(one.astype(np.float64) - other).max(), rel=1e-6)
    assert found.same_top == (one.argmax(axis=1) == other.argmax(axis=1)).sum()
    places = list(scored)
    change = (p - q)[[place - 1 for place in places], [ids[place] for place in places]].sum()
    assert found.other_nll - found.reference_nll == pytest.approx(change, rel=1e-4, abs=1e-6 * max(1.0, size))
