"""Transfer learning: a trained network gets a new head, and is trained further."""

from typing import Any

from torch import nn


def replace_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Return the same network with a new, untrained classifier `fc`.

    Args:
        model: A network of the course, or of torchvision, that ends in `fc`.
        num_classes: Outputs of the new classifier.

    Raises:
        ValueError: If the network has no linear layer `fc`.

    Taught in: lesson 06, "Two ways to swap the head".
    """
    old = getattr(model, "fc", None)
    if not isinstance(old, nn.Linear):
        raise ValueError(
            f"{type(model).__name__} has no linear layer fc; give a network that ends "
            "in its classifier."
        )
    model.fc = nn.Linear(old.in_features, num_classes).to(old.weight)
    return model


def freeze_norms(model: nn.Module) -> nn.Module:
    """Return the same network with its BatchNorm layers in eval().

    They keep their statistics; scale and shift still learn. `model.train()` undoes it,
    so call this after each.

    Taught in: lesson 06, "A frozen network that moves".
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def rates_by_depth(
    model: nn.Module, lr: float, factor: float = 0.5
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer, with smaller rates for early layers.

    The classifier learns at `lr`; each stage below it at `factor` times the rate of
    the one above.

    Args:
        model: A network of the course, or a torchvision ResNet.
        lr: Learning rate of the classifier.
        factor: Above 0 and at most 1.

    Returns:
        One group a stage, the first layer's first.

    Source: Howard and Ruder 2018 (arXiv 1801.06146), section 3.2.
    Taught in: lesson 06, "Smaller steps for early layers".
    """
    stages: list[list[nn.Parameter]] = []
    for name, part in model.named_children():
        parameters = list(part.parameters())
        if name == "bn1":  # the stem is one stage
            stages[-1] += parameters
        elif parameters:
            stages.append(parameters)
    top = len(stages) - 1
    return [
        {"params": parameters, "lr": lr * factor ** (top - stage)}
        for stage, parameters in enumerate(stages)
    ]
