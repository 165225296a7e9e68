"""What trains more than once: searches, seeds, learning curves, tried remedies, what changed."""

from slmcheck.studies.explain import Attribution, Explanation, explain
from slmcheck.studies.learning_curve import learning_curve
from slmcheck.studies.remedies import TriedRemedy, try_remedy
from slmcheck.studies.search import Searched, open_recipe, search
from slmcheck.studies.trainings import BudgetSpentError, Estimate, Training, Trainings

__all__ = [
    "Attribution",
    "BudgetSpentError",
    "Estimate",
    "Explanation",
    "Searched",
    "Training",
    "Trainings",
    "TriedRemedy",
    "explain",
    "learning_curve",
    "open_recipe",
    "search",
    "try_remedy",
]
