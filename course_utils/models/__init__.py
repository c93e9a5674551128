"""Residual networks: the ImageNet family and the paper's CIFAR family.

resnet      `resnet18` to `resnet152`, `resnext…`: torchvision's names and weights
cifar       `cifar_resnet`, and `cifar_plain`, its twin without shortcuts
compare     `first_difference`: where two networks begin to disagree
fast        parts of lesson 03b's recipe: `use_patches`, `BothViews`
modes       a network's device, its mode, and in how many bits it computes
"""

from course_utils.models.cifar import CifarResNet, cifar_plain, cifar_resnet
from course_utils.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
)

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "CifarResNet",
    "ResNet",
    "cifar_plain",
    "cifar_resnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
]
