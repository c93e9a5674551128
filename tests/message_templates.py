"""The sentences that the checks' source can print, as the keys of their translation."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def templates(source: Path) -> Iterator[str]:
    """Yield each text of several words, message and hint apart.

    What an f-string fills in is {0}, {1} …, counted in each of the two parts.
    """
    tree = ast.parse(source.read_text("utf-8"))
    inner, docstrings = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner.update(node.values)
        elif isinstance(node, ast.Expr):
            docstrings.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [getattr(part, "value", None) for part in node.values]
            text = "".join(p if isinstance(p, str) else "{}" for p in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if node in inner | docstrings or len(text.split()) == 1:
            continue
        for part in re.split(r"(?:^| )Hint:(?: |$)", text):
            if re.search(r"\w", part.replace("{}", "")):
                first, *others = part.split("{}")
                filled = (f"{{{n}}}{text}" for n, text in enumerate(others))
                yield first + "".join(filled)
