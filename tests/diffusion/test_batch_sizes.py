"""How many images a network restores at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldbench.diffusion.batch_sizes import cpu_batch, remembered


@pytest.mark.parametrize(("size", "images"), [(8, 16), (28, 16), (32, 16), (48, 7), (64, 4), (128, 1), (256, 1)])
def test_on_a_cpu_it_goes_by_the_size_of_the_images(size: int, images: int) -> None:
    assert cpu_batch(size) == images


def test_what_was_found_once_is_taken_from_then_on(own_home: Path) -> None:
    assert remembered("a card, 32 px", lambda: 512) == 512
    assert remembered("a card, 64 px", lambda: 128) == 128
    assert remembered("a card, 32 px", lambda: 64) == 512
    assert remembered("a card, 64 px", lambda: 64) == 128
    assert [path.name for path in own_home.iterdir()] == ["batch-sizes.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a card": "many"}', '{"a card": 0}', '{"a card": true}', "\xff"])
def test_what_is_damaged_is_found_anew(text: str, own_home: Path) -> None:
    (own_home / "batch-sizes.json").write_text(text, encoding="latin-1")
    assert remembered("a card", lambda: 256) == 256
    assert remembered("a card", lambda: 64) == 256


def test_the_rest_of_a_damaged_file_is_kept(own_home: Path) -> None:
    (own_home / "batch-sizes.json").write_text('{"a card": 32, "another": -1}')
    assert remembered("another", lambda: 128) == 128
    assert remembered("a card", lambda: 64) == 32


def test_what_cannot_be_kept_is_found_each_time(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_home / "file").write_text("")
    monkeypatch.setenv("COLDBENCH_HOME", str(own_home / "file"))
    assert remembered("a card", lambda: 64) == 64
    assert remembered("a card", lambda: 128) == 128
    assert "the batch size is found each time, since it cannot be kept" in capsys.readouterr().err


def test_an_error_of_the_search_is_not_taken_for_one_of_the_file(own_home: Path) -> None:
    def find() -> int:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        remembered("a card", find)
    assert not [*own_home.iterdir()]
