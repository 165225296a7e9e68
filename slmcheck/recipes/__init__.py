"""Recipe files -> recipes: fields and their stage, defaults, validation, base models, keys."""

from slmcheck.recipes.base_models import BaseModel, base_model_of
from slmcheck.recipes.describe import describe
from slmcheck.recipes.foreign import foreign_notes
from slmcheck.recipes.keys import prediction_inputs, prediction_key, run_inputs, run_key
from slmcheck.recipes.loading import check, find, load, resolved_options
from slmcheck.recipes.patching import patched
from slmcheck.recipes.propose import Proposal, propose
from slmcheck.recipes.writing import recipe_text

__all__ = [
    "BaseModel",
    "Proposal",
    "base_model_of",
    "check",
    "describe",
    "find",
    "foreign_notes",
    "load",
    "patched",
    "prediction_inputs",
    "prediction_key",
    "propose",
    "recipe_text",
    "resolved_options",
    "run_inputs",
    "run_key",
]
