"""What a history says of a training."""

from slmcheck import Run


def validation_losses(run: Run) -> list[float]:
    """The validation losses in order, the first of them that of the base model."""
    measured = [point for point in run.history if point.validation_loss is not None]
    assert measured[0].step == 0
    return [point.validation_loss for point in measured if point.validation_loss is not None]
