"""What a folder holds: all of its images, wherever links lead, or an error that says what cannot be read."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldbench.core.errors import BadInput
from coldbench.data.cache import ImageStore
from coldbench.data.datasets import open_source
from coldbench.data.folders import IMAGE_SUFFIXES, look_into
from coldbench.data.sources import folder_source
from tests.helpers import loaded

#: The data sets that may be folders, and where theirs are.
LAYOUTS = {"cifar10": "cifar10/test", "celeba": "celeba-hq/test", "afhq": "afhq/test"}


def image(path: Path, level: int = 0) -> Path:
    """A grey image of this level, in the format that its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)
    return path


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        image(folder / f"{number}.png", number)


def held(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in look_into(folder).images]


def levels(folder: Path) -> list[int]:
    """Of the images, as they are read."""
    return loaded(folder_source(folder), channels=3).amax((1, 2, 3)).tolist()


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "set", 2)
    fill(tmp_path / "elsewhere", 8)
    (tmp_path / "set" / "more").symlink_to(tmp_path / "elsewhere")
    assert held(tmp_path / "set") == ["0.png", "1.png", *(f"more/{number}.png" for number in range(8))]
    assert levels(tmp_path / "set") == [0, 1, *range(8)]
    assert look_into(tmp_path / "set").left_out == ""


def test_the_folder_itself_may_be_a_link_and_its_files_too(tmp_path: Path) -> None:
    fill(tmp_path / "set", 2)
    (tmp_path / "set" / "2.png").symlink_to(image(tmp_path / "elsewhere" / "a.png", 2))
    (tmp_path / "link").symlink_to("set")
    assert levels(tmp_path / "link") == [0, 1, 2]
    assert folder_source(tmp_path / "link").digest == folder_source(tmp_path / "set").digest


@pytest.mark.parametrize("target", [".", "..", "../..", "../b", "../../set"])
def test_a_loop_of_links_ends(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for place in ("a", "b"):
        image(folder / place / "0.png")
    (folder / "a" / "link").symlink_to(target)
    (folder / "b" / "link").symlink_to("../a")
    contents = look_into(folder)
    assert len(contents.images) == 2
    assert contents.left_out.startswith(f"{folder}: ")
    assert re.search(r": [23] links not followed, to folders that are read already$", contents.left_out)


def test_a_folder_behind_two_links_is_read_once(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 3)
    for name in ("a", "b"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).symlink_to("../elsewhere")
    assert held(tmp_path / "set") == ["a/0.png", "a/1.png", "a/2.png"]
    assert look_into(tmp_path / "set").left_out.endswith("1 link not followed, to folders that are read already")


def test_images_have_their_own_paths_not_those_of_links(tmp_path: Path) -> None:
    """Or the order of the images, and with it what is drawn for each, would hang on a link."""
    fill(tmp_path / "z", 2)
    before = folder_source(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to("../z")
    assert held(tmp_path) == ["z/0.png", "z/1.png"]
    assert folder_source(tmp_path).digest == before.digest


HIDDEN = (".ipynb_checkpoints/0.png", "__MACOSX/._0.png", "__MACOSX/set/0.png", "._0.png", "@eaDir/0.png/THUMB.jpg")


@pytest.mark.parametrize("name", [*HIDDEN, *(f"sub/{name}" for name in HIDDEN)])
def test_what_systems_hide_does_not_count(name: str, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    before = folder_source(tmp_path)
    image(tmp_path / name)
    (tmp_path / ".hidden").symlink_to("nowhere")
    after = folder_source(tmp_path)
    assert (after.count, after.digest, after.left_out) == (2, before.digest, "")


def test_a_hidden_folder_is_read_if_it_is_named(tmp_path: Path) -> None:
    fill(tmp_path / ".cache" / "__MACOSX", 2)
    assert folder_source(tmp_path / ".cache" / "__MACOSX").count == 2


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".PNG", ".Jpg"])
def test_every_format_is_read(suffix: str, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    black_or_white = 255
    image(tmp_path / f"a{suffix}", black_or_white)
    assert levels(tmp_path) == [0, 1, 255]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.heic"], r"1 image of formats that are not read \(\.heic 1\)"),
        (["a.AVIF", "b.avif", "c.jp2"], r"3 images of formats that are not read \(\.avif 2, \.jp2 1\)"),
        (["a.tga", "b.psd", "c.exr", "d.NEF"], r"4 images of formats"),
    ],
)
def test_images_that_are_not_read_are_no_secret(names: list[str], said: str, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    for name in names:
        (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(BadInput, match=rf"^{tmp_path} holds {said}.*: convert to PNG, or take out of the folder$"):
        folder_source(tmp_path)


@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "tiff", "webp", "avif"])
@pytest.mark.parametrize("name", ["0001", "a.jpg_large", "a.png.1"])
def test_images_by_another_name_are_no_secret(name: str, form: str, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    if form == "avif":  # which Pillow could not always write
        (tmp_path / name).write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0")
    else:
        Image.new("RGB", (8, 8)).save(tmp_path / name, form)
    with pytest.raises(
        BadInput, match=r"holds 1 image of formats that are not read \((without suffix|\.jpg_large|\.1) 1\)"
    ):
        folder_source(tmp_path)


def test_other_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once a folder, in one line on stderr."""
    fill(tmp_path, 2)
    before = folder_source(tmp_path)
    for name in ("a.txt", "b.TXT", "sub/c.txt", "d.npy", "Thumbs.db", "README", "e.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x93NUMPY" if name.endswith("npy") else b"BM, MM and II")
    store = ImageStore(tmp_path)
    source = store.source(f"folder:{tmp_path}")
    store.source(f"folder:{tmp_path}", train=True)
    assert (source.count, source.digest) == (2, before.digest)
    left_out = "7 files left out: .txt 3, without suffix 1, .npy 1, .pdf 1, .db 1"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sorted(said.removeprefix(f"{tmp_path}: ").rstrip().split(", ")) == sorted(left_out.split(", "))


def test_a_folder_of_other_files_says_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "images.npz").write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"^no images in .* \(1 file left out: \.npz 1\): read are \.jpg, "):
        folder_source(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.symlink_to("nowhere"), "a.png cannot be read: it is a link that leads nowhere$"),
        (lambda file: file.symlink_to("a.png"), "a.png cannot be read: Too many levels of symbolic links$"),
        (os.mkfifo, "a.png cannot be read: it is no file$"),
        (
            lambda file: (file.parent / "more").symlink_to("nowhere"),
            "more cannot be read: it is a link that leads nowhere$",
        ),
    ],
)
def test_what_is_no_file_is_an_error(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    """Or fewer images would be measured than there were once."""
    fill(tmp_path, 2)
    spoil(tmp_path / "a.png")
    with pytest.raises(BadInput, match=message):
        folder_source(tmp_path)


def test_links_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").symlink_to("nowhere")
    with pytest.raises(BadInput, match=rf"^{tmp_path}/0\.png cannot .* nowhere \(and 4 more in {tmp_path}\)$"):
        folder_source(tmp_path)


@contextmanager
def without_rights() -> Iterator[Path]:
    """A folder that belongs to somebody who may be refused something; root may not."""
    with tempfile.TemporaryDirectory(prefix="coldbench-test-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            for each in folder.rglob("*"):
                if each.is_dir():
                    each.chmod(0o700)
            if os.getuid() == 0:
                os.seteuid(0)


@pytest.mark.parametrize("rights", [0o000, 0o100, 0o400])
def test_a_folder_that_cannot_be_read_is_an_error(rights: int) -> None:
    with without_rights() as folder:
        fill(folder, 2)
        fill(folder / "sub", 8)
        (folder / "sub").chmod(rights)
        with pytest.raises(
            BadInput, match=rf"cannot .*{folder}/sub.*: Permission denied|{folder}/sub/0.png cannot be read: P"
        ):
            folder_source(folder)


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    with without_rights() as folder:
        image(folder / "a.png").chmod(0)
        with pytest.raises(BadInput, match=rf"^cannot read {folder}/a\.png: Permission denied$"):
            folder_source(folder)


def test_anything_may_be_a_name(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    image(tmp_path / "folder.png" / "b.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / "a.png").read_bytes())
    assert folder_source(tmp_path).count == 3


def test_the_digest_is_of_paths_and_contents(tmp_path: Path) -> None:
    """Stored numbers hold it: it must not change with the program."""
    names = ["B.png", "a.jpg", "a/0.png", "a/1.PNG", "a0.jpeg"]
    for number, name in enumerate(names):
        image(tmp_path / name, number)
    contents = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}
    expected = hashlib.sha256("".join(f"{name} {contents[name]}\n" for name in sorted(names, key=Path)).encode())
    assert folder_source(tmp_path).digest == expected.hexdigest()


@pytest.mark.parametrize("name", LAYOUTS)
def test_data_sets_are_read_alike(name: str, tmp_path: Path) -> None:
    folder = tmp_path / LAYOUTS[name]
    fill(folder / "cat", 2)
    fill(tmp_path / "elsewhere", 8)
    (folder / "dog").symlink_to(tmp_path / "elsewhere")
    image(folder / ".ipynb_checkpoints" / "0.png")
    (folder / "labels.txt").write_text("cat\ndog\n")
    source = open_source(name, tmp_path)
    assert (source.count, source.left_out) == (10, f"{folder}: 1 file left out: .txt 1")
    (folder / "cat" / "a.heic").touch()
    with pytest.raises(BadInput, match=r"holds 1 image of formats that are not read \(\.heic 1\)"):
        open_source(name, tmp_path)


def test_both_parts_of_celeba_tell_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "celeba-hq"
    fill(folder, 20)
    (folder / "attributes.txt").touch()
    store = ImageStore(tmp_path)
    counts = [store.source("celeba", train=train).count for train in (True, False)]
    assert counts == [18, 2]
    assert capsys.readouterr().err == f"{folder}: 1 file left out: .txt 1\n"


def test_the_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    source = folder_source(tmp_path)
    assert [int(np.asarray(source.read(index))[0, 0]) for index in range(3)] == [0, 1, 2]
