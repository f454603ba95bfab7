"""The largest number of things at a time that pays, found by doubling."""

from __future__ import annotations

from collections.abc import Callable

from coldbench.core.errors import out_of_memory

#: The time of each thing must fall by this part for twice as many at a time to pay.
GAIN = 0.03


def largest(seconds: Callable[[int], float], start: int, most: int) -> int:
    """The number at a time to which doubling pays.

    It is doubled while the memory of the device holds twice as many, and while the time of each falls by ``GAIN`` or
    more. Where the memory does not even hold the first number, that is halved until it does.

    Args:
        seconds: a number at a time -> the seconds that they take together; it raises what the device raises where its
            memory does not hold them.
        start: the first number that is tried.
        most: the largest.

    Raises:
        RuntimeError: from ``seconds``: the memory does not hold a single one, or something else is wrong.
    """
    number = start
    while (pace := _pace(seconds, number)) is None:
        number = most = number // 2
    while 2 * number <= most:
        faster = _pace(seconds, 2 * number)
        if faster is None or faster > (1 - GAIN) * pace:
            break
        number, pace = 2 * number, faster
    return number


def _pace(seconds: Callable[[int], float], number: int) -> float | None:
    """Seconds of each; None where the memory of the device does not hold them, and might hold fewer."""
    try:
        return seconds(number) / number
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error) != "device" or number == 1:
            raise
        return None
