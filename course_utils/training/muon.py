"""Muon, an optimiser whose step for a convolution is an orthogonal matrix."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from course_utils.models.modes import amp_dtype

NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315  # of the quintic, Jordan et al.
ITERATIONS = 3


class Muon(Optimizer):
    """Nesterov's momentum; the step of each kernel is made orthogonal.

    A kernel (C_out, C_in, k, k) is seen as a matrix (C_out, C_in · k · k). Most
    singular values of its step are near 1: directions of the weights in which the
    gradient is small learn at a similar rate to those in which it is large. Parameters
    of fewer dimensions, as those of BatchNorm and of the classifier, take the step of
    the momentum itself.

    Args:
        params: Parameters, or groups of them with rates of their own.
        lr: Learning rate.
        momentum: Share of the old gradients in their running mean.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural
        networks"; for convolutions, Jordan 2024 (arXiv 2404.00498) and its code.
    Taught in: lesson 03b, "A recipe for minutes".
    """

    def __init__(
        self, params: Iterable, lr: float = 0.05, *, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; return what `closure`, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in filter(lambda w: w.grad is not None, group["params"]):
                state, kept = self.state[weight], group["momentum"]
                mean = state.setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - kept)
                step = weight.grad.lerp(mean, kept)
                if weight.ndim == 4:
                    step = orthogonal(step.flatten(1)).view_as(step)
                weight.sub_(step, alpha=group["lr"])
        return loss


def orthogonal(matrix: Tensor) -> Tensor:
    """Return nearly the nearest matrix whose rows, or columns, are orthonormal.

    A polynomial of odd degree, applied to the matrix, acts on its singular values
    alone. This one, applied some times, moves them into a band around 1.

    Args:
        matrix: (R, C), float32; computed in bfloat16 on a device that does so natively.

    Source: Jordan et al. 2024, Newton-Schulz iteration.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    native = amp_dtype(matrix.device, "auto") is torch.bfloat16
    x = wide.bfloat16() if native else wide
    x = x / x.norm().clamp(min=1e-7)  # now no singular value is above 1
    for _ in range(ITERATIONS):
        gram = x @ x.T
        inner = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # b·gram + c·gram²
        x = torch.addmm(x, inner, x, beta=a)  # a·x + inner·x
    x = x.to(matrix.dtype)
    return x if wide is matrix else x.T
