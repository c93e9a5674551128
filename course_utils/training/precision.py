"""Mixed precision: most arithmetic in 16 bits, weights and sums in 32."""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Amp = bool | Literal["auto"]


def amp_dtype(device: torch.device, amp: Amp) -> torch.dtype | None:
    """Return the 16-bit type to compute in on `device`, or None for 32 bits.

    bfloat16 has the range of float32 and needs no scaling of the loss; float16 is for
    GPUs that lack it. ``"auto"`` means: where the hardware computes in that type, which
    also holds for recent CPUs.

    Args:
        device: Where the network is.
        amp: Whether to use 16 bits; ``"auto"``, where they are faster.

    Raises:
        ValueError: If `amp` is none of the three.

    Source: Micikevicius et al. 2018 (arXiv 1710.03740), section 3.
    Taught in: lesson 03, "Faster, at what price?".
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


class MixedPrecision:
    """The forward pass and the optimiser's step, in 16 bits where that is wanted.

    Args:
        device: Where the network is.
        amp: See `amp_dtype`.

    Attributes:
        dtype: The 16-bit type in use, or None.
        scaler: Scales the loss, so that small gradients do not vanish in float16;
            does nothing with bfloat16 and float32.
    """

    def __init__(self, device: torch.device, amp: Amp = "auto") -> None:
        self.device_type = device.type
        self.dtype = amp_dtype(device, amp)
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=self.dtype is torch.float16
        )

    def autocast(self) -> AbstractContextManager:
        """Return the context in which the network computes."""
        return torch.autocast(
            self.device_type, dtype=self.dtype, enabled=self.dtype is not None
        )

    def step(
        self,
        loss: Tensor,
        model: nn.Module,
        optimizer: Optimizer,
        grad_clip: float | None = None,
    ) -> None:
        """Take one step; a gradient longer than `grad_clip` is shortened to it."""
        optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if grad_clip is not None:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        self.scaler.step(optimizer)
        self.scaler.update()
