"""The language in which the checks and the start page speak to the reader."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

CHINESE = "zh"  # the folder of the Chinese notebooks


def edition(folder: Path = Path()) -> Callable[[str], str]:
    """Return what puts a message into the language of a folder's notebooks.

    Args:
        folder: By default the working folder, which is the notebook's own.
    """
    return in_chinese if folder.resolve().name == CHINESE else str


def in_chinese(message: str) -> str:
    """Return a message, and its hint, in Chinese; what zh.json lacks stays as it is.

    The keys of zh.json are the messages of the source, where {0}, {1} … stand for what
    they are filled with: values, which stay, or shorter messages.
    """
    message = " ".join(message.split())
    found, with_hint, hint = message.partition(" Hint: ")
    if with_hint:
        return f"{in_chinese(found)}提示：{in_chinese(hint)}"
    for pattern, chinese in _patterns():
        if match := pattern.fullmatch(message):
            return chinese.format(*map(in_chinese, match.groups()))
    return message


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return what recognises each message, and its Chinese, the longest first."""
    text = Path(__file__).with_name("zh.json").read_text(encoding="utf-8")
    parts = [(re.split(r"\{\d\}", key), said) for key, said in json.loads(text).items()]
    parts.sort(key=lambda item: -sum(map(len, item[0])))
    return [(re.compile("(.+?)".join(map(re.escape, p))), said) for p, said in parts]
