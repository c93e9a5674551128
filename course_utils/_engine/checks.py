"""Checks of arguments that several rooms share, a sentence each."""


def check_at_least_one(value: int | None, name: str) -> None:
    """Raise if a number that counts something is given and is below 1."""
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value}; give at least 1.")
