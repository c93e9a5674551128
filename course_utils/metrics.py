"""How good the predictions are."""

from torch import Tensor


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of images whose highest logit is at the right class.

    Args:
        logits: float (B, num_classes); probabilities serve as well.
        labels: int64 (B,), on the same device.

    Returns:
        A fraction between 0 and 1.

    Raises:
        ValueError: If there is no image, or the shapes do not fit.

    Taught in: lesson 03, "One epoch by hand".
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits has shape {tuple(logits.shape)}, labels {tuple(labels.shape)}; "
            "expected (B, num_classes) and (B,) with at least one image."
        )
    return (logits.argmax(1) == labels).float().mean().item()
