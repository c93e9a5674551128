"""What a reader's function returned, as a check needs it, or what is wrong with it."""

import contextlib
import copy
import math
import reprlib
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

READ = "what does the docstring say is returned?"


class Wrong(Exception):
    """What is wrong with the reader's answer, with one hint. Never the answer."""


def described(value: Any) -> str:
    """Return what a value is, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"a tensor of shape {tuple(value.shape)} and type {kind}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value):
        return f"an object of type {type(value).__name__}"
    return f"{reprlib.repr(value)} (type {type(value).__name__})"


def refused(found: Any, expected: str, hint: str = READ) -> Wrong:
    """Return the exception for a value of another kind than `expected`."""
    if found is None:
        return Wrong(
            f"The function returns nothing; {expected} was expected. Hint: does every "
            "way through it end with return?"
        )
    return Wrong(f"It gives {described(found)}; {expected} was expected. Hint: {hint}")


def number(found: Any, nan_hint: str = "is something divided by 0?") -> float:
    """Return a number, given as one of Python, of NumPy, or as a tensor ()."""
    if isinstance(found, Tensor | np.ndarray | np.generic) and found.ndim == 0:
        found = found.item()
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise refused(found, "one number")
    if not math.isfinite(found):
        raise Wrong(f"It gives {found}; a finite number was expected. Hint: {nan_hint}")
    return found


def truth(found: Any) -> bool:
    """Return True or False, given as one of Python, of NumPy, or as a tensor ()."""
    if isinstance(found, Tensor | np.ndarray | np.generic) and found.ndim == 0:
        found = found.item()
    if not isinstance(found, bool):
        raise refused(found, "True or False")
    return found


def tensor(found: Any, shape: tuple[int, ...], shape_hint: str) -> Tensor:
    """Return a real tensor of that shape, without NaN."""
    expected = f"a tensor of shape {shape}"
    if not isinstance(found, Tensor):
        raise refused(found, expected)
    if tuple(found.shape) != shape:
        raise refused(found, expected, shape_hint)
    if found.is_complex():
        raise refused(found, f"{expected} with real numbers")
    if found.isnan().any():
        raise Wrong(
            f"{int(found.isnan().sum())} of {found.numel()} values are NaN; numbers "
            "were expected. Hint: is something divided by 0?"
        )
    return found


def several(found: Any, length: int, expected: str, hint: str = READ) -> list:
    """Return the parts of a list, tuple, array or tensor of that length."""
    kinds = list | tuple | np.ndarray | Tensor
    if not isinstance(found, kinds) or getattr(found, "ndim", 1) == 0:
        raise refused(found, expected)
    if len(found) != length:
        raise Wrong(
            f"It gives {len(found)} parts; {expected} was expected. Hint: {hint}"
        )
    return list(found)


def list_of(found: Any, kind: type | UnionType, expected: str) -> list:
    """Return the items of a list, tuple or array, each of that kind."""
    kinds = list | tuple | np.ndarray
    if not isinstance(found, kinds) or getattr(found, "ndim", 1) == 0:
        raise refused(found, expected)
    if not all(isinstance(item, kind) for item in found):
        raise refused(found, expected)
    return list(found)


def module(found: Any) -> nn.Module:
    """Return a module of PyTorch, as an object and not as a class."""
    if not isinstance(found, nn.Module):
        raise refused(found, "an nn.Module")
    return found


def moved(network: nn.Module, before: Mapping[str, Tensor]) -> bool:
    """Return whether a parameter or a buffer is other than in a copy of its state."""
    now = network.state_dict()
    return any(not torch.equal(now[name], old) for name, old in before.items())


@contextlib.contextmanager
def left_alone(network: nn.Module, hint: str) -> Iterator[None]:
    """Raise `Wrong` if a network's values or modes are other after the block."""
    state = copy.deepcopy(network.state_dict())
    modes = [part.training for part in network.modules()]
    yield
    if moved(network, state):
        raise Wrong(
            "The network's parameters or running statistics have changed; they are "
            f"expected to stay as they were. Hint: {hint}"
        )
    if [part.training for part in network.modules()] != modes:
        raise Wrong(
            "The network is in another mode afterwards; it is expected to be in the "
            f"one that it was in. Hint: {hint}"
        )


def close(
    found: Tensor | float, right: Tensor | float, *, rtol: float = 0, atol: float = 1e-5
) -> bool:
    """Return whether numbers, or tensors of one shape, agree, whatever their types."""
    one, other = (torch.as_tensor(value).double() for value in (found, right))
    return torch.allclose(one, other, rtol=rtol, atol=atol)


def refuse_slips(
    found: Tensor | float,
    slips: Mapping[str, Tensor | float],
    start: str = "",
    *,
    rtol: float = 0,
) -> None:
    """Raise `Wrong` with the sentence of the typical slip that gives what was found.

    Args:
        found: What the reader's function gave.
        slips: What a slip would give, by the sentence that tells it.
        start: What all the sentences begin with.
        rtol: See `close`.
    """
    for sentence, value in slips.items():
        if close(found, value, rtol=rtol):
            raise Wrong(start + sentence)
