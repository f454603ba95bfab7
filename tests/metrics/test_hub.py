"""Weights in torch's hub folder: absent, damaged, fetched."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from coldbench.core.errors import BadInput, Missing
from coldbench.metrics import inception
from coldbench.metrics.hub import HubWeights

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def weights(tmp_path: Path) -> HubWeights:
    """Weights that are published in a folder of ours."""
    published = tmp_path / "net" / "weights.pth"
    published.parent.mkdir()
    published.write_bytes(CONTENT)
    return HubWeights("name", "Title", published.as_uri(), SHA256[:8])


def test_absent_weights_name_the_command_that_gets_them(weights: HubWeights) -> None:
    for ask in (weights.require, weights.checked):
        with pytest.raises(Missing, match=r"^no Title weights: coldbench fetch name$"):
            ask()
    assert not weights.path.exists()


def test_they_are_fetched_where_torch_looks(weights: HubWeights, own_home: Path) -> None:
    path = own_home / "torch" / "hub" / "checkpoints" / "weights.pth"
    assert weights.fetch(quiet=True) == f"the Title weights are at {path}"
    assert path.read_bytes() == CONTENT
    assert weights.checked() == SHA256


def test_damaged_weights_are_refused_and_fetched_anew(weights: HubWeights) -> None:
    weights.fetch(quiet=True)
    weights.path.write_bytes(CONTENT[:-1])
    with pytest.raises(BadInput, match=rf"is damaged \(its sha256 does not begin with {SHA256[:8]}\)"):
        weights.checked()
    weights.fetch(quiet=True)
    assert weights.checked() == SHA256


def test_a_file_may_have_a_name_of_its_own() -> None:
    assert HubWeights("name", "Title", "https://example.org/model.pt", "", "own.pt").path.name == "own.pt"


def test_without_a_home_nothing_is_put_into_a_folder_of_that_name(
    weights: HubWeights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """torch leaves ``~`` as it is where it finds no home: a folder of that name would be made in the working one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", "~no-such-user/torch")
    with pytest.raises(Missing, match="no Title weights"):
        weights.require()
    with pytest.raises(BadInput, match="names nobody's home folder: set TORCH_HOME to a folder"):
        weights.fetch(quiet=True)
    assert not list(tmp_path.glob("~*"))


def test_a_folder_that_nobody_can_look_into_holds_no_weights(
    weights: HubWeights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "loop"))
    with pytest.raises(
        Missing, match=r"no Title weights \(cannot look at .*TORCH_HOME names another folder\): coldbench"
    ):
        weights.require()


def test_the_weights_of_the_fid_are_known_by_all_of_their_hash() -> None:
    assert re.fullmatch("6726825d[0-9a-f]{56}", inception.WEIGHTS.sha256)
