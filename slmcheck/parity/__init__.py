"""Two backends or precisions on the same examples: how far they agree, and whether that is rounding."""

from slmcheck.parity.comparing import ParityRows, compare
from slmcheck.parity.scores import CACHE_VERSION, SCORES, agreement, score
from slmcheck.parity.tolerances import TOLERANCES, Breach, Tolerance, breaches

__all__ = [
    "CACHE_VERSION",
    "SCORES",
    "TOLERANCES",
    "Breach",
    "ParityRows",
    "Tolerance",
    "agreement",
    "breaches",
    "compare",
    "score",
]
