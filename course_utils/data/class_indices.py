"""`class_indices.json`: the names of a network's outputs, as tutorials keep them."""

import json
from collections.abc import Sequence
from pathlib import Path

from course_utils._engine.files import write_atomically


def write_class_indices(path: Path, classes: Sequence[str]) -> None:
    """Write the names of the classes as ``{"0": "daisy", "1": "dandelion", ...}``.

    The keys are text: JSON knows no others.

    Args:
        path: The file to write; its folder is made.
        classes: Names of the classes, in the order of the network's outputs.

    Raises:
        ValueError: If there is no name, one is not text, or one is there twice.
        OSError: If the file cannot be written; what was there before stays.

    Taught in: lesson 06, "An index, not a copy".
    """
    _refuse_bad_names("The list of classes", classes)
    text = json.dumps({str(k): name for k, name in enumerate(classes)}, indent=4)
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def read_class_indices(path: Path) -> tuple[str, ...]:
    """Return the names of the classes, in the order of the network's outputs.

    Args:
        path: A file as `write_class_indices` writes it; its lines may be in any order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, its keys are not "0", "1", "2" and so on, or a
            name is not text or is there twice.

    Taught in: lesson 06, "An index, not a copy".
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path}; write it with write_class_indices(path, classes)"
            " where the network is trained."
        )
    try:
        # Pairs, not a dict, which would swallow a key that is there twice.
        pairs = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=tuple)
    except ValueError as error:
        raise ValueError(
            f"{path} is not JSON ({error}); restore it, or write it again."
        ) from error
    if not isinstance(pairs, tuple):
        raise ValueError(
            f"{path} holds a {type(pairs).__name__}; expected an object such as "
            '{"0": "daisy", "1": "roses"}: write it again.'
        )
    keys = [key for key, _ in pairs]
    if sorted(keys) != sorted(map(str, range(len(keys)))):
        raise ValueError(
            f"The keys of {path} are {', '.join(map(repr, keys))}; expected '0' to "
            f"'{len(keys) - 1}', each once: write it again from the list of classes."
        )
    names = tuple(name for _, name in sorted(pairs, key=lambda pair: int(pair[0])))
    _refuse_bad_names(str(path), names)
    return names


def _refuse_bad_names(where: str, names: Sequence[str]) -> None:
    if isinstance(names, str) or not names:
        raise ValueError(
            f"{where} holds {names!r}; expected the names of the classes: give at "
            "least one."
        )
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"{where} holds the name {name!r}, which is not text; put the class's "
                "name there, in quotes."
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{where} holds the name {name!r} {names.count(name)} times; give each "
                "class a name of its own."
            )
