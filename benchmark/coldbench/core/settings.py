"""``--set KEY=VALUE``."""

from __future__ import annotations

import math
from typing import Any

from coldbench.core.errors import BadInput

#: Settings that are no number.
_WORDS: dict[str, Any] = {"true": True, "false": False}


def parse_setting(text: str) -> tuple[str, Any]:
    """``key=value`` with a number, true, false or a word.

    Raises:
        BadInput: something else.
    """
    key, equals, value = text.partition("=")
    if not equals or key in ("", "name") or not value:
        raise BadInput(f"--set '{text}' is not a setting key=value")
    if value in _WORDS:
        return key, _WORDS[value]
    for number in (int, float):
        try:
            parsed = number(value)
        except ValueError:
            continue
        if not math.isfinite(parsed):
            raise BadInput(f"--set '{text}' is not finite")
        return key, parsed
    return key, value
