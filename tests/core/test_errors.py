"""What errors say: on one line, in whoever's words, and whether memory was the matter."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch

from coldbench.core.errors import BadInput, cause, foreign, one_line, out_of_memory, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\rb\tc\x1b[31m", "a\\rb\\tc\\x1b[31m"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("undecodable \udcff", "undecodable \\udcff"),
        ("naïve ± 1 %", "naïve ± 1 %"),
    ],
)
def test_a_message_is_one_line_that_can_be_written(text: str, shown: str) -> None:
    assert printable(text) == str(BadInput(text)) == shown
    shown.encode()


def test_somebody_else_s_message_is_not_told_without_end() -> None:
    told = one_line(ValueError("1\n" * 10_000))
    assert told.startswith("1 1 1")
    assert len(told) < 1000


class Mute(Exception):
    """Fails even at saying what it is."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_error_that_cannot_say_what_it_is_is_named() -> None:
    assert cause(Mute()) == "Mute: no reason given"


@pytest.mark.parametrize("error", [SystemExit(3), BaseException("odd"), Mute(), StopIteration()])
def test_whatever_foreign_code_raises_becomes_bad_input(error: BaseException) -> None:
    with pytest.raises(BadInput, match=r"^mine failed: "), foreign("mine"):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_what_is_not_its_own_passes(error: BaseException) -> None:
    with pytest.raises(type(error)), foreign("mine"):
        raise error


def raised(bytes_: int) -> BaseException:
    """What torch says of a tensor that no host holds."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(bytes_, dtype=torch.uint8)
    return caught.value


def test_the_end_of_memory_is_known_in_whatever_words() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    of_host = (caught.value, raised(2**60), MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert [out_of_memory(error) for error in of_host] == ["host"] * 4
    of_device = (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    )
    assert [out_of_memory(error) for error in of_device] == ["device"] * 3
    others = (RuntimeError("shape"), OSError(errno.ENOSPC, "No space left"), ValueError("out of memory"), SystemExit(1))
    assert [out_of_memory(error) for error in others] == [""] * 4
