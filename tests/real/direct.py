"""What the reference implementations say of predictions, called directly, and what transformers says of documents."""

from __future__ import annotations

import math
from collections.abc import Sequence

from slmcheck.records import Checkpoint, Prediction

WITHOUT_ANSWER = ""


def references_of(predictions: Sequence[Prediction]) -> list[str]:
    """The labels that count as right."""
    return [item.references[0] for item in predictions]


def answers_of(predictions: Sequence[Prediction]) -> list[str]:
    """What the model answered."""
    return [item.prediction or WITHOUT_ANSWER for item in predictions]


def texts_of(predictions: Sequence[Prediction]) -> list[str]:
    """The documents of language modelling."""
    return [str(item.row["text"]) for item in predictions]


def by_sacrebleu(name: str, predictions: Sequence[Prediction]) -> float:
    """A corpus score of sacrebleu with its defaults.

    Args:
        name: `BLEU` or `CHRF`.
        predictions: Answers with any number of references each.
    """
    from sacrebleu import metrics

    most = max(len(item.references) for item in predictions)
    streams = [
        [item.references[place] if place < len(item.references) else None for item in predictions]
        for place in range(most)
    ]
    return float(getattr(metrics, name)().corpus_score(answers_of(predictions), streams).score)


def by_rouge_score(name: str, predictions: Sequence[Prediction]) -> dict[str, float]:
    """The F-measure of rouge-score by example id, the best reference of each row counting."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([name])
    return {
        item.id: scorer.score_multi(item.references, item.prediction or WITHOUT_ANSWER)[name].fmeasure
        for item in predictions
    }


def perplexity_by_transformers(checkpoint: Checkpoint, texts: Sequence[str]) -> tuple[list[float], float]:
    """Documents one after the other through the model of transformers and peft, adapter unmerged.

    Windows of the model's context move by half of it, as in the documentation of transformers, the last one full.

    Args:
        checkpoint: A LoRA adapter or a model.
        texts: The documents.

    Returns:
        The summed negative log-likelihood of each document in nats, and the perplexity of them all.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = checkpoint.base_model or checkpoint.path
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if checkpoint.kind == "adapter":
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, checkpoint.path)
    model.eval()
    context = model.config.max_position_embeddings
    losses, tokens = [], 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
        loss, counted = 0.0, 1
        while counted < ids.shape[1]:
            stop = min(ids.shape[1], context if counted == 1 else counted + context // 2)
            window = ids[:, max(0, stop - context) : stop]
            fresh = stop - counted
            with torch.no_grad():
                logits = model(window).logits[0, -fresh - 1 : -1]
            loss += float(torch.nn.functional.cross_entropy(logits.double(), window[0, -fresh:], reduction="sum"))
            counted = stop
        losses.append(loss)
        tokens += ids.shape[1] - 1
    return losses, math.exp(math.fsum(losses) / tokens)
