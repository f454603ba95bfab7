"""What is read, how it is transformed, and how bad files are refused."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coldbench.core.errors import BadInput, Missing
from coldbench.data.datasets import (
    DATASETS,
    Dataset,
    dataset_title,
    find_dataset,
    open_mnist,
    open_source,
    read_idx,
)
from coldbench.data.sources import ImageSource, array_source, folder_source, npz_source
from coldbench.data.transforms import to_model_range
from tests.helpers import loaded


def picture(size: tuple[int, int] = (40, 50), mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(mode) if mode != "L" else 1
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode=None)


def test_mnist_ships_all_test_images() -> None:
    source = open_mnist(Path("nowhere"))
    assert (source.count, source.name) == (10_000, "MNIST")
    pixels = loaded(source, channels=1)
    assert pixels.shape == (10_000, 1, 32, 32)
    assert pixels.dtype == torch.uint8
    # Pillow's bilinear 28 -> 32 of the first digit, a seven.
    assert int(pixels[0].sum()) == pytest.approx(np.asarray(source.read(0)).sum() * (32 / 28) ** 2, rel=0.02)


def test_mnist_training_images_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"coldbench fetch mnist --data-root"):
        open_mnist(tmp_path, train=True)


def test_native_size_is_left_untouched(tmp_path: Path) -> None:
    image = picture((32, 32))
    image.save(tmp_path / "a.png")
    pixels = loaded(folder_source(tmp_path), channels=3)
    assert np.array_equal(pixels[0].permute(1, 2, 0).numpy(), np.asarray(image))


def test_shorter_side_is_resized_and_the_centre_kept(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    result = loaded(folder_source(tmp_path), channels=3)
    assert result.shape == (1, 3, 32, 32)
    assert (result[..., 1:-1] == 200).all()


def test_folder_order_is_by_name_and_the_digest_knows_the_content(tmp_path: Path) -> None:
    for seed, name in enumerate(("b.png", "a.jpg", "sub/c.PNG")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(seed=seed).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    source = folder_source(tmp_path)
    assert source.count == 3
    assert np.array_equal(np.asarray(source.read(1)), np.asarray(picture(seed=0)))
    picture(seed=9).save(tmp_path / "b.png")
    assert folder_source(tmp_path).digest != source.digest


def test_grey_becomes_colour_but_colour_never_grey(tmp_path: Path) -> None:
    picture(mode="L").save(tmp_path / "grey.png")
    picture(mode="RGBA").save(tmp_path / "rgba.png")
    source = folder_source(tmp_path)
    assert loaded(source, channels=3).shape == (2, 3, 32, 32)
    with pytest.raises(
        BadInput, match=r"rgba\.png cannot be used: it has mode RGBA, but this row restores 8-bit 1-channel images"
    ):
        loaded(source, channels=1)


def test_npz_takes_grey_and_colour(tmp_path: Path) -> None:
    for shape, channels in (((5, 28, 28), 1), ((5, 28, 28, 1), 1), ((5, 32, 32, 3), 3)):
        np.savez(tmp_path / "a.npz", images=np.zeros(shape, np.uint8))
        source = open_source(f"npz:{tmp_path / 'a.npz'}", tmp_path)
        assert loaded(source, channels=channels).shape == (5, channels, 32, 32)


def test_model_range() -> None:
    assert to_model_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 32, 32, 2), np.uint8), "C = 1 or 3, not uint8 4x32x32x2"),
        (np.zeros((4, 32, 32, 3), np.float32) + 0.5, "must be uint8 .* not float32 4x32x32x3 from 0.5 to 0.5$"),
        (np.arange(64).reshape(1, 8, 8), "not int64 1x8x8 from 0 to 63$"),
        (np.zeros((2, 8, 8), bool), "not bool 2x8x8$"),
        (np.zeros((2, 8, 8), complex), "not complex128 2x8x8$"),
        (np.zeros((0, 32, 32, 3), np.uint8), "not uint8 0x32x32x3$"),
        (np.zeros((3, 0, 32, 3), np.uint8), "not uint8 3x0x32x3$"),
        (np.zeros((0, 8, 8)), "not float64 0x8x8$"),
        (np.zeros(()), "not float64 $"),
        (np.array([None]), "Object arrays cannot be loaded"),
    ],
)
def test_wrong_arrays_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=array)
    with pytest.raises(BadInput, match=message):
        npz_source(tmp_path / "a.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_image_that_is_not_finite_is_named(value: float, tmp_path: Path) -> None:
    images = np.zeros((5, 8, 8, 3), np.float16)
    images[3, 7, 7, 2] = images[4] = value
    np.savez(tmp_path / "a.npz", images=images)
    with pytest.raises(BadInput, match=r"^npz:a\.npz: .* not float16 5x8x8x3, of which image 3 holds NaN or infinity$"):
        npz_source(tmp_path / "a.npz")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_one_image_is_not_taken_for_many(channels: int, tmp_path: Path) -> None:
    """(H, W, C) is no (N, H, W)."""
    image = np.random.default_rng(0).integers(0, 256, (20, 24, channels), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=image)
    message = rf"^npz:a\.npz: 20x24x{channels} may be one image of {channels} channels: .* images\[None\]"
    with pytest.raises(BadInput, match=message):
        npz_source(tmp_path / "a.npz")
    if channels < 4:
        np.savez(tmp_path / "a.npz", images=image[None])
        assert npz_source(tmp_path / "a.npz").count == 1
    np.savez(tmp_path / "a.npz", images=image[..., None])
    assert npz_source(tmp_path / "a.npz").count == 20, "if they are so narrow after all"


def test_the_order_in_memory_changes_nothing(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    strange = [np.asfortranarray(images), images[::-1, ::-1][::-1, ::-1], np.repeat(images, 2, axis=2)[:, :, ::2]]
    for array in strange:
        source = array_source("a", array)
        assert source.digest == array_source("a", images).digest
        assert np.array_equal(loaded(source).permute(0, 2, 3, 1).numpy(), images)
        np.savez(tmp_path / "a.npz", images=array)
        assert np.array_equal(np.asarray(npz_source(tmp_path / "a.npz").read(4)), images[4])


def test_images_must_be_an_array() -> None:
    with pytest.raises(BadInput, match=r"^mine: images must be an array of numpy's, not list$"):
        array_source("mine", [[[0]]])


@pytest.mark.parametrize(
    "header", [b"\0\0\x0d\x03", b"\0\0\x08\x02", b"\0\0\x08\x00", b"\1\0\x08\x03", b"\0\0\x08\x04"]
)
def test_idx_files_of_something_else_are_refused(header: bytes, tmp_path: Path) -> None:
    """Floats, other numbers of axes, other beginnings."""
    sizes = np.array([2, 4, 4], ">i4").tobytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + sizes + bytes(32)))
    assert read_idx(tmp_path / "a.gz").shape == (2, 4, 4)
    (tmp_path / "a.gz").write_bytes(gzip.compress(header + sizes + bytes(32)))
    with pytest.raises(BadInput, match=r"a\.gz is not a gzipped IDX file"):
        read_idx(tmp_path / "a.gz")


def test_an_idx_file_says_how_many_there_are(tmp_path: Path) -> None:
    """-1 would be as many as there are bytes for."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + np.array([-1, 4, 4], ">i4").tobytes() + bytes(32)))
    with pytest.raises(BadInput, match=r"a\.gz is not a gzipped IDX file"):
        read_idx(tmp_path / "a.gz")


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    corrupt = bytearray(whole)
    corrupt[len(whole) // 3 : len(whole) // 3 + 40] = b"x" * 40
    (tmp_path / "corrupt.npz").write_bytes(corrupt)
    with (tmp_path / "plain.npz").open("wb") as stream:
        np.save(stream, np.zeros((4, 32, 32), np.uint8))
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        archive.writestr("images", "no array")
    reasons = {
        "cut.npz": "it is no zip archive, or was cut",
        "other.npz": "it holds pictures",
        "corrupt.npz": "",
        "plain.npz": r"it is one array, as np\.save writes it: np\.savez",
        "raw.npz": "'images' is no array",
    }
    for name, reason in reasons.items():
        with pytest.raises(BadInput, match=f"{name} is not an .npz file with an array 'images': {reason}"):
            npz_source(tmp_path / name)
    folder = tmp_path / "images"
    folder.mkdir()
    picture().save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"b\.png cannot be read as an image"):
        loaded(folder_source(folder), channels=3)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(12) + b"x")[:-4])
    with pytest.raises(BadInput, match=r"cut\.gz is not a gzipped IDX file"):
        read_idx(tmp_path / "cut.gz")


def stripes(root: Path, *, train: bool) -> ImageSource:
    """A data set from outside, as a plain function."""
    return array_source("stripes", np.zeros((5 if train else 2, 8, 8), np.uint8))


def no_images(root: Path, *, train: bool) -> Path:
    """Gives something else than images."""
    return root


striped = Dataset("Stripes", stripes, features=("mnist-cnn",))


@pytest.mark.parametrize("name", ["stripes", "striped"])
def test_a_data_set_from_outside(name: str, tmp_path: Path) -> None:
    """A ``Dataset``, or the plain function that opens it."""
    spec = f"{__name__}:{name}"
    assert open_source(spec, tmp_path).count == 2
    assert open_source(spec, tmp_path, train=True).count == 5
    assert find_dataset(spec).title == ("Stripes" if name == "striped" else spec)
    assert find_dataset(spec).fetch is None


def test_every_data_set_is_described_in_one_place(tmp_path: Path) -> None:
    found = {name: find_dataset(name) for name in DATASETS}
    titles = {"mnist": "MNIST", "cifar10": "CIFAR-10", "celeba": "CelebA", "afhq": "AFHQ"}
    assert {name: dataset.title for name, dataset in found.items()} == titles
    assert {name: dataset_title(name) for name in DATASETS} == titles
    assert dataset_title("folder:pics") == "folder:pics"
    assert found["mnist"].features == ("mnist-cnn",)
    for name, dataset in found.items():
        assert dataset.fetch is not None
        with pytest.raises(Missing, match=f"coldbench fetch {name}"):
            dataset.open(tmp_path, train=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pics", r"^'pics' is no data set; did you mean folder:pics\?$"),
        ("pics.npz", r"^'pics\.npz' is no data set; did you mean npz:pics\.npz\?$"),
        ("minst", r"^unknown dataset 'minst'; did you mean mnist"),
        ("xyzzy", r"^unknown dataset 'xyzzy'; known: afhq, celeba, cifar10, mnist$"),
        (f"{__name__}:no_images", r"gave PosixPath instead of an ImageSource$"),
        ("math:pi", r"^dataset 'math:pi' is float, not a Dataset or a function of \(root, train\)$"),
    ],
)
def test_what_is_no_data_set_is_named(spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pics").mkdir()
    np.savez("pics.npz", images=np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(BadInput, match=message):
        open_source(spec, tmp_path)


@pytest.mark.parametrize("spec", ["zip:x", "npz:", "folder", "npz:absent.npz", "folder:absent"])
def test_unusable_specs_are_refused(spec: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        open_source(spec, tmp_path)


@pytest.mark.parametrize("spec", ["folder:{}", "npz:{}", "{}"])
def test_a_name_that_no_file_can_have_is_named(spec: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot look at a{300} \(File name too long\)$"):
        open_source(spec.format("a" * 300), tmp_path)


def test_a_home_is_found_behind_the_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells leave ``folder:~/pics`` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pics").mkdir()
    picture().save(tmp_path / "pics" / "a.png")
    assert open_source("folder:~/pics", tmp_path).count == 1
    with pytest.raises(BadInput, match=r"^no folder at ~nobody-of-this-name/pics$"):
        open_source("folder:~nobody-of-this-name/pics", tmp_path)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^no images in .* \(it is empty\): read are \.jpg, \.jpeg, "):
        folder_source(tmp_path)
