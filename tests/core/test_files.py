"""Files: whole or not at all; what the system refuses is said, and a defect of ours stays a defect."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from coldbench.core.errors import BadInput
from coldbench.core.files import sha256_of, write_atomically, write_text
from coldbench.core.weights import load_weights, save_weights, write_state


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    for text in ("first", "déjà vu"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert sha256_of(path) == hashlib.sha256("déjà vu".encode()).hexdigest()


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (OSError(28, "No space left on device"), BadInput, r"^cannot write .*a\.txt: No space left on device$"),
        (ValueError("out of range"), ValueError, r"^out of range$"),
        (TypeError("a defect"), TypeError, r"^a defect$"),
        (RuntimeError("a defect"), RuntimeError, r"^a defect$"),
    ],
)
def test_only_the_system_s_errors_are_cannot_write(
    raised: Exception, expected: type[Exception], message: str, tmp_path: Path
) -> None:
    """A defect in a writer was told as a file that cannot be written."""
    path = tmp_path / "a.txt"
    path.write_text("earlier")

    def write(temporary: Path) -> None:
        temporary.write_text("half of it")
        raise raised

    with pytest.raises(expected, match=message):
        write_atomically(path, write)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    """Root, who may write to /dev, replaced /dev/null by a file."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path, why in ((pipe, "it is no regular file"), (link, "it is no regular file"), (tmp_path, "Is a directory")):
        with pytest.raises(BadInput, match=rf"^cannot write {path}: {why}$"):
            write_text(path, "x")
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert {each.name for each in tmp_path.iterdir()} == {"pipe", "link"}


def test_a_link_to_a_file_stays(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "file").read_text() == text


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    for write in (
        lambda path: write_text(path, "x"),
        lambda path: write_state({"step": 1}, path),
        lambda path: save_weights(nn.Linear(2, 2), path),
    ):
        with pytest.raises(BadInput, match=r"^cannot write .*file/a: "):
            write(tmp_path / "file" / "a")


@pytest.mark.parametrize("path", ["absent", "."])
def test_what_cannot_be_read_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot read "):
        sha256_of(tmp_path / path)


@pytest.mark.parametrize("half", [False, True])
def test_weights_come_back(half: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, other = nn.Linear(5, 3), nn.Linear(5, 3)
    path = tmp_path / "a.safetensors"
    sha256 = save_weights(network, path, half=half)
    assert sha256 == sha256_of(path)
    load_weights(other, path, sha256)
    expected = network.weight.half().float() if half else network.weight
    assert torch.equal(other.weight, expected)
    assert other.weight.dtype == torch.float32


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    sha256 = save_weights(nn.Linear(5, 3), path)
    with pytest.raises(BadInput, match=r"does not fit its network: weight is \(3, 5\), and should be \(3, 6\)$"):
        load_weights(nn.Linear(6, 3), path, sha256)
    with pytest.raises(BadInput, match=r"does not fit its network: bias is \(3,\), and should be absent$"):
        load_weights(nn.Linear(5, 3, bias=False), path, sha256)
    with pytest.raises(BadInput, match=r"has sha256 .* but the registry expects 0000"):
        load_weights(nn.Linear(5, 3), path, "0" * 64)


def test_states_come_back(tmp_path: Path) -> None:
    write_state({"step": 3, "mean": torch.ones(2)}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 3
    assert torch.equal(state["mean"], torch.ones(2))
