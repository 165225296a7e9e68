"""Every threshold of diagnosis in one place; docs/explanation/diagnosis.md says where they were measured."""

GAP = 0.05
"""Gap of a share that is worth a word: its lower bound is above it."""
GAP_NATS = 0.15
"""The same in nats a token, where the score is a likelihood."""
RISE_MILD = 0.02
RISE_OVERFIT = 0.10
"""Rise of the validation loss after its lowest point, as a share of it."""
RISE_Z = 3.0
"""Standard errors of the rise, row by row."""
TREND_P = 0.05
EXPLOSION = 1.5
"""Block mean of the training loss over its first value."""
GRADIENT_RATIO = 100.0
"""Largest gradient norm over the median one."""
MOMENTUM = 0.85
"""Loss drop per summed learning rate, middle third over first third, above which a training still learns."""
LITTLE_DROP = 0.10
"""Share of the first loss that a training takes off at least, if its learning rate is not too low."""
FEW_UPDATES = 100
LEARNED = 0.30
"""Part of the way from the most frequent answer to perfection that training rows have come when they are learned."""
ONLINE_BELOW = 0.05
MEMORISED = 0.15
"""How far memorised rows are above the most frequent answer when labels carry nothing."""
COLLAPSED = 0.60
"""Part of the way from its own share to everything that one answer takes when a model has collapsed."""
INFLATION = 0.01
LEAK_NOTE = 0.01
LEAK_PROBLEM = 0.05
RELOADED_NATS = 0.05
NEVER_STOPS = 0.20
UNPARSABLE = 0.10
CONFUSED_SHARE = 0.20
CONFUSED_ROWS = 5
WEAK_SLICE = 0.05
SLICE_ROWS = 20
OVERCONFIDENT = 0.10
SENSITIVE_LOSS = 0.05
SENSITIVE_ANSWERS = 0.15
VERBATIM = 0.10
WAITED = 0.20
UTILISATION = 0.50
MEMORY_SHARE = 0.90
CONFIDENCE = 0.95
QUANTILE = 1.959963984540054
"""Of the normal distribution, for two-sided 95 % intervals."""
