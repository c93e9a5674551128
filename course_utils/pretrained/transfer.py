"""Transfer learning: a trained network gets a new head, and is trained further."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

STAGES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")


class HeadReport(NamedTuple):
    """What `load_without_head` could not match: names in the state dict's own form."""

    missing: list[str]
    unexpected: list[str]


def replace_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Return the same network with a new, untrained classifier `fc`.

    Args:
        model: A network of the course, or of torchvision, that ends in `fc`.
        num_classes: Outputs of the new classifier.

    Raises:
        ValueError: If the network has no linear layer `fc`.

    Taught in: lesson 06, "Two ways to swap the head".
    """
    old = _head(model)
    model.fc = nn.Linear(old.in_features, num_classes).to(old.weight)
    if hasattr(model, "architecture"):
        model.architecture = model.architecture | {"num_classes": num_classes}
    return model


def _head(model: nn.Module) -> nn.Linear:
    head = getattr(model, "fc", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"{type(model).__name__} has no linear layer fc; give a network that ends "
            "in its classifier."
        )
    return head


def load_without_head(model: nn.Module, state_dict: Mapping[str, Tensor]) -> HeadReport:
    """Return the report of loading all weights but those of the classifier `fc`.

    Args:
        model: A network with the new number of classes.
        state_dict: Weights of the same network with another number of classes.

    Raises:
        ValueError: If more than the classifier does not fit.

    Taught in: lesson 06, "Two ways to swap the head".
    """
    body = {k: v for k, v in state_dict.items() if not k.startswith("fc.")}
    try:
        report = model.load_state_dict(body, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ValueError(
            f"The weights are of another network ({reason}); build the network they "
            "came from."
        ) from error
    missing = [key for key in report.missing_keys if not key.startswith("fc.")]
    if missing or report.unexpected_keys:
        raise ValueError(
            f"The weights are of another network: {len(missing)} names are missing "
            f"and {len(report.unexpected_keys)} are unexpected, such as "
            f"{(missing + report.unexpected_keys)[0]!r}; build the network they came "
            "from."
        )
    return HeadReport(report.missing_keys, report.unexpected_keys)


def freeze_backbone(model: nn.Module) -> list[nn.Parameter]:
    """Return the classifier's parameters, after freezing all others.

    Raises:
        ValueError: If the network has no linear layer `fc`.

    Taught in: lesson 06, "A frozen network that moves".
    """
    head = _head(model)
    model.requires_grad_(False)
    head.requires_grad_(True)
    return list(head.parameters())


def rates_by_depth(
    model: nn.Module, lr: float, factor: float = 0.5
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer, with smaller rates for early layers.

    The classifier learns at `lr`; each stage below it at `factor` times the rate of
    the one above.

    Args:
        model: A network of the course, or a torchvision ResNet.
        lr: Learning rate of the classifier.
        factor: Between 0 and 1.

    Returns:
        One group a stage, the first layer's first; without frozen parameters.

    Raises:
        ValueError: If `factor` is not above 0 and at most 1, or the network has other
            parts than a ResNet.

    Source: Howard and Ruder 2018 (arXiv 1801.06146), section 3.2.
    Taught in: lesson 06, "Smaller steps for early layers".
    """
    if not 0 < factor <= 1:
        raise ValueError(f"factor is {factor}; give a number above 0 and at most 1.")
    stages: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        if part not in STAGES:
            raise ValueError(
                f"{type(model).__name__} has the parameter {name!r}, which is in none "
                f"of the parts {', '.join(STAGES)}; give a ResNet."
            )
        stage = "conv1" if part == "bn1" else part  # the stem is one stage
        stages.setdefault(stage, []).append(parameter)
    groups = []
    for distance, parameters in enumerate(reversed(stages.values())):
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if trained:
            groups.append({"params": trained, "lr": lr * factor**distance})
    return groups[::-1]
