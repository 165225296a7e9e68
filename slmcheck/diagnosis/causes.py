"""Every cause that slmcheck can name, in the order in which causes are asked for.

The first group that explains a symptom is the cause. Groups stand in the order of `GROUPS`, causes of a group in the
order of this file. The reference page of findings is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["plumbing", "data", "optimisation", "fit", "answers", "resources", "curve"]

GROUPS: Mapping[Group, str] = {
    "plumbing": "The model does not read, learn or answer what was meant: templates, tokens, gradients, weights.",
    "data": "The rows mislead the model or the score: leaks, contradictions, labels.",
    "optimisation": "The updates are too large, too small or too few.",
    "fit": "The model learned too much of the training rows, or too little of the task.",
    "answers": "What the answers show: where they fail and how far they can be trusted.",
    "resources": "What the training takes and wastes.",
    "curve": "What more rows, or a larger model, would bring.",
}


@dataclass(frozen=True)
class Cause:
    """One cause as the reference lists it."""

    id: str
    """Stable name, kebab-case."""
    group: Group
    evidence: str
    """What is measured, and when the cause is named."""
    remedy: str
    """What to do about it."""


_ALL = (
    # Before the first update, and from the weights.
    Cause(
        "tokens-without-embedding",
        "plumbing",
        "The tokenizer has more tokens than the model has embeddings.",
        "Resize the embeddings of the base model and save it again.",
    ),
    Cause(
        "boundary-token",
        "plumbing",
        "The prompt has other token ids in training than when the model is asked: prompt and answer merge in one "
        "token, or the two are rendered by different templates. A problem from 5 % of the rows on.",
        "End the text before the answer with a word or a colon, and put the space on the answer's side.",
    ),
    Cause(
        "double-bos",
        "plumbing",
        "Rows begin with two BOS tokens.",
        "Remove BOS from the template: the tokenizer adds it.",
    ),
    Cause(
        "missing-bos",
        "plumbing",
        "The base model was pretrained with BOS, and rows begin without it.",
        "Use a template or tokenizer that puts BOS first.",
    ),
    Cause(
        "eos-not-learned",
        "plumbing",
        "Fewer than 95 % of the rows end with a learned EOS (pad = EOS masked, or another end token in the template).",
        "Learn the end token: name the template's stop token as eos_token_id in generation_config.json.",
    ),
    Cause(
        "prompt-not-masked",
        "plumbing",
        "The recipe learns the tokens of the prompt as well, and they are most of what it learns.",
        "Set data.loss_on to answer.",
    ),
    Cause(
        "special-text-not-token",
        "plumbing",
        "The template holds special-looking text that the tokenizer reads as plain text.",
        "Use the special tokens of this base model, or plain words.",
    ),
    Cause(
        "special-token-in-rows",
        "plumbing",
        "Rows hold text that the tokenizer reads as a special token.",
        "Remove or rewrite it.",
    ),
    Cause(
        "base-loss-implausible",
        "plumbing",
        "Before training the base model's loss of the training rows is below 0.01 or above ln(vocabulary) + 1.",
        "See that tokenizer and weights belong together.",
    ),
    Cause(
        "few-layers-adapted",
        "plumbing",
        "The adapter sits on fewer than 30 % of the linear layers.",
        "Use target_modules: all-linear.",
    ),
    Cause(
        "graph-cut",
        "plumbing",
        "Trained tensors get no gradient.",
        "Use the non-reentrant form of gradient checkpointing; see that the trained modules are used by the model.",
    ),
    Cause(
        "updates-vanish",
        "plumbing",
        "At most half of the weights move in an update of the size of the learning rate.",
        "Keep trained weights in float32, or raise learning_rate.",
    ),
    Cause(
        "evaluation-changes-training",
        "plumbing",
        "Gradients of the same rows differ before and after an evaluation (cosine at most 0.999).",
        "Turn off what changes the weights while evaluating.",
    ),
    Cause(
        "evaluation-not-deterministic",
        "plumbing",
        "Two forward passes in evaluation mode differ.",
        "Set the dropout that ignores evaluation mode to 0.",
    ),
    Cause(
        "accumulation-changes-gradient",
        "plumbing",
        "Rows one by one give another gradient than together (cosine at most 0.999).",
        "Divide the loss by the tokens of the whole accumulated batch.",
    ),
    Cause(
        "weights-not-finite",
        "plumbing",
        "Trained tensors hold NaN or infinite values.",
        "Lower learning_rate, or use bf16 instead of fp16.",
    ),
    Cause(
        "adapter-without-effect",
        "plumbing",
        "The adapter changes no logit by more than 1e-4, or second matrices of it are zero.",
        "Raise learning_rate or the number of updates; see that target_modules are used by the model.",
    ),
    Cause(
        "checkpoint-differs",
        "plumbing",
        "The stored weights give validation rows another loss than the training noted at the step that was kept "
        "(more than 0.05 nats a token): merged twice, adapter forgotten, another base revision or tokenizer.",
        "Train again, and see what saves, merges or loads the weights.",
    ),
    Cause(
        "evaluation-rendered-differently",
        "plumbing",
        "The evaluation score is at least 5 points below what the model reached on training rows before it had learned "
        "them (first epoch), bounds compared.",
        "Compare the rendered evaluation prompt with a training prompt; make template and source the same.",
    ),
    Cause(
        "answers-never-stop",
        "plumbing",
        "More than 20 % of the generations end by their length (lower bound).",
        "Learn the end token, or name a stop text in evaluation.stop.",
    ),
    Cause(
        "max-new-tokens-too-small",
        "plumbing",
        "More than 20 % of the generations end by their length, and references are longer than what they wrote.",
        "Raise evaluation.max_new_tokens.",
    ),
    # Rows.
    Cause(
        "empty-slice",
        "data",
        "A slice of the recipe holds no evaluation row.",
        "Change its condition, or remove it.",
    ),
    Cause(
        "leaked-rows",
        "data",
        "Evaluation rows have the normalised input of a training row. A note from 1 %, a problem from 5 % or where the "
        "score is more than a point higher with them.",
        "Remove these rows from the training data; read the score on clean rows.",
    ),
    Cause(
        "near-duplicate-rows",
        "data",
        "Evaluation rows share half of their word 8-grams (13-grams from 50 words on) with training rows, or have a "
        "Jaccard similarity of at least 0.8 with one (MinHash, verified). A note from 1 %, a warning from 5 %, a "
        "problem where the score is more than a point higher with them.",
        "Remove these rows from the training data, or group them with data.group.",
    ),
    Cause(
        "conflicting-labels",
        "data",
        "Equal inputs have different labels; no model can exceed the accuracy that this leaves. A problem above 5 %.",
        "Decide on one label for each input, or add the field that tells them apart.",
    ),
    Cause(
        "too-many-labels",
        "data",
        "Most labels of a classification occur in one row each: the answer field is probably another column.",
        "Name the column of the labels in data.answer.",
    ),
    Cause(
        "labels-without-information",
        "data",
        "Neither the model nor TF-IDF with logistic regression answers better than the most frequent label, and what "
        "the model got right of training rows it had learned by heart.",
        "See whether columns were swapped or labels shuffled.",
    ),
    Cause(
        "label-noise",
        "data",
        "Training rows whose label other rows contradict most (leave-one-out naive Bayes): a review list, no verdict.",
        "Read these rows, and correct the labels that are wrong.",
    ),
    Cause(
        "class-imbalance",
        "data",
        "More than 80 % of the training rows have one label.",
        "Gate balanced accuracy or macro-F1; weigh the classes.",
    ),
    Cause(
        "small-classes",
        "data",
        "Classes with fewer than 10 training rows.",
        "Add rows of these classes, or merge them with others.",
    ),
    Cause(
        "absent-classes",
        "data",
        "Classes without a row in the validation or test split.",
        "Add rows of these classes.",
    ),
    Cause(
        "sorted-rows",
        "data",
        "Neighbouring rows share their label 25 points more often than by chance.",
        "Shuffle the file.",
    ),
    Cause(
        "duplicate-rows",
        "data",
        "Training rows repeat an earlier row, answer included: a note from 1 %, a warning from 5 %.",
        "Remove the repetitions.",
    ),
    Cause(
        "cut-prompts",
        "data",
        "Rows are longer than max_length and lose the beginning of their prompt: a note from 1 %, a warning from 5 %.",
        "Raise data.max_length, or shorten the template.",
    ),
    Cause(
        "label-words-share-tokens",
        "data",
        "Labels begin with the same tokens, so that the first token of an answer does not tell them apart.",
        "Choose label words that differ in their first token.",
    ),
    Cause(
        "unknown-tokens",
        "data",
        "Rows hold characters that the tokenizer does not know.",
        "Use a base model whose tokenizer falls back to bytes, or replace these characters.",
    ),
    Cause(
        "empty-fields",
        "data",
        "A field of the template is empty in at least 1 % of the rows.",
        "Nothing, if the field is optional.",
    ),
    Cause(
        "unused-fields",
        "data",
        "Fields of the rows that the template does not use.",
        "Name them in the template if the answer depends on them.",
    ),
    Cause(
        "token-statistics",
        "data",
        "Lengths of the rows in tokens, and how many characters a token stands for.",
        "Nothing; below 2 characters a token, in a language with letters, the tokenizer does not know the language.",
    ),
    # Updates.
    Cause(
        "non-finite-loss",
        "optimisation",
        "The loss became NaN or infinite and the training ended there.",
        "Lower learning_rate to a fifth, warm up, keep max_grad_norm at 1; bf16 in place of fp16.",
    ),
    Cause(
        "learning-rate-too-high",
        "optimisation",
        "The training loss rose above 1.5 times its first value, or the largest gradient is 100 times the median one: "
        "a warning where the rows were learned all the same.",
        "Lower learning_rate to a fifth, warm up, keep max_grad_norm at 1.",
    ),
    Cause(
        "learning-rate-too-low",
        "optimisation",
        "The training rows are not learned, no gap, and the loss fell by less than 10 % or was still falling after "
        "100 updates and more.",
        "Raise learning_rate five times.",
    ),
    Cause(
        "still-learning",
        "optimisation",
        "The training rows are not learned, no gap, and the loss was still falling after fewer than 100 updates.",
        "Train three times as long, or take smaller batches.",
    ),
    Cause(
        "majority-collapse",
        "optimisation",
        "The model gives one answer far more often than it is right, and is not better than always giving it.",
        "Weigh the classes or sample them evenly; gate macro-F1; lower learning_rate.",
    ),
    Cause(
        "plateau",
        "optimisation",
        "The training rows are not learned, no gap, and the loss no longer fell.",
        "Double options.r on all linear layers, then a larger base model; look at the learning curve first.",
    ),
    # What was learned.
    Cause(
        "overfitting",
        "fit",
        "The gap is above 5 points (lower bound) and the validation loss rose by more than 10 % after its lowest "
        "point (3 standard errors, row by row).",
        "Fewer epochs, early stopping, smaller r, dropout 0.1, weight decay 0.01, more rows.",
    ),
    Cause(
        "overfitting-or-noisy-labels",
        "fit",
        "The gap is above 5 points and the validation loss rose by 2 to 10 %: mild overfitting and noisy labels look "
        "the same in curves.",
        "Early stopping, and read the review list of labels.",
    ),
    Cause(
        "harmless-memorising",
        "fit",
        "The gap is above 5 points and the validation loss did not rise.",
        "More rows help, fewer epochs do not.",
    ),
    Cause(
        "memorised-rows",
        "fit",
        "The model continues training rows verbatim 10 points more often than held-out rows (lower bound).",
        "Fewer epochs, remove duplicates; do not publish a model that recites private rows.",
    ),
    Cause(
        "worse-than-base",
        "fit",
        "The base model answers the same rows better (paired, lower bound above zero).",
        "See the findings above it; lower learning_rate, or train less.",
    ),
    Cause(
        "no-better-than-trivial",
        "fit",
        "The score is not proven better than the best trivial answer. A problem where that answer ignores the input, "
        "a warning where it is TF-IDF with logistic regression or the nearest training row.",
        "Use the trivial answer, or a larger base model and more rows.",
    ),
    # Answers.
    Cause(
        "unparsable-answers",
        "answers",
        "More than 10 % of the answers are empty or no valid JSON (lower bound).",
        "Show the form in the template, learn the answer only, and check the chat template.",
    ),
    Cause(
        "confused-labels",
        "answers",
        "At least 20 % of one label's rows, and at least five, are taken for one other label.",
        "Read rows of both labels: sharpen what tells them apart, or merge them.",
    ),
    Cause(
        "weak-slices",
        "answers",
        "Slices at least 5 points weaker than the other rows, Holm-corrected over all slices looked at.",
        "Add training rows of these slices, and gate them with data.slices.",
    ),
    Cause(
        "overconfident",
        "answers",
        "The mean probability of the chosen options is at least 10 points above the accuracy (lower bound).",
        "Set label_smoothing to 0.1, train less, or divide the scores by the temperature that is given.",
    ),
    Cause(
        "prompt-sensitive",
        "answers",
        "Changes of the prompt that keep its meaning (case, punctuation, white space, typos) cost at least 5 points "
        "(lower bound), or change at least 15 % of the answers.",
        "Add such variants to the training rows, or normalise prompts before asking.",
    ),
    # Resources.
    Cause(
        "out-of-memory",
        "resources",
        "The training process was ended for lack of memory.",
        "gradient_checkpointing, batch size 1 with accumulation, then QLoRA.",
    ),
    Cause(
        "memory-near-limit",
        "resources",
        "The peak memory was above 90 % of what the machine has.",
        "gradient_checkpointing, or a smaller batch with accumulation.",
    ),
    Cause(
        "slow-data-loading",
        "resources",
        "Updates waited for their rows for more than 20 % of the time.",
        "Shorten rows, or keep the data on a local disk.",
    ),
    Cause(
        "low-utilisation",
        "resources",
        "The training process computed for less than half of its time.",
        "Leave the processor to it, or give it fewer threads.",
    ),
    # Learning curve.
    Cause(
        "data-limited",
        "curve",
        "The last doubling of the training rows brought a proven gain, and the next is expected to bring a point.",
        "Add training rows.",
    ),
    Cause(
        "capacity-limited",
        "curve",
        "The last doubling brought less than a point (upper bound), and training rows are below the target.",
        "Double options.r, or take a larger base model.",
    ),
    Cause(
        "saturated",
        "curve",
        "The last doubling brought less than a point, and training rows reach the target.",
        "Nothing more comes of rows like these: correct labels, or change the task.",
    ),
    Cause(
        "learning-curve-undecided",
        "curve",
        "The intervals of the gains are too wide to tell what limits the score.",
        "More evaluation rows, or more seeds.",
    ),
)

CAUSES: Mapping[str, Cause] = {cause.id: cause for cause in _ALL}
"""Every cause by its id, in the order in which they are asked for."""

_RANK = {cause: place for place, cause in enumerate(CAUSES)}


def rank_of(cause: str) -> int:
    """The place of a cause in the order of asking; causes of plugins, which the catalogue lacks, come last."""
    return _RANK.get(cause, len(_RANK))


def group_of(cause: str) -> Group | None:
    """The group of a cause; None for one of a plugin."""
    known = CAUSES.get(cause)
    return None if known is None else known.group


def causes_of(group: Group) -> Iterator[Cause]:
    """The causes of a group, in order."""
    return (cause for cause in CAUSES.values() if cause.group == group)
