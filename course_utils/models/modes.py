"""A network from outside: where it is, in which mode, in how many bits it computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

Amp = bool | Literal["auto"]


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the network's parameters; the CPU if it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside a parallel wrapper, with its own parameter names."""
    wrappers = (DistributedDataParallel, nn.DataParallel)
    return model.module if isinstance(model, wrappers) else model


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put the network into a mode, and every part back into its own at the end."""
    modes = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training


def amp_dtype(device: torch.device, amp: Amp) -> torch.dtype | None:
    """Return the 16-bit type to compute in on `device`, or None for 32 bits.

    bfloat16 has the range of float32 and needs no scaling of the loss; float16 is for
    GPUs that lack it. ``"auto"`` means: always with CUDA, and on a CPU that computes
    in bfloat16 by itself, as recent ones do.

    Args:
        device: Where the network is.
        amp: Whether to use 16 bits; ``"auto"``, where they are faster.

    Raises:
        ValueError: If `amp` is none of the three.

    Source: Micikevicius et al. 2018 (arXiv 1710.03740), section 3.
    Taught in: lesson 03b, "Sixteen bits, and the order of memory".
    """
    if amp not in (True, False, "auto"):
        raise ValueError(f"amp is {amp!r}; give True, False or 'auto'.")
    if amp is False:
        return None
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        native = found.get("avx512_bf16") or found.get("amx_bf16")
        return torch.bfloat16 if native or amp is True else None
    return torch.float16 if amp is True else None
