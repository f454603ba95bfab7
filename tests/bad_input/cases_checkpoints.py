"""Checkpoints, the user's folder, and what is fetched."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from coldbench.diffusion.networks.convnext_unet import ConvNextUnet
from tests.bad_input.case import Case, nothing

LIKE = "cifar10-superres"
IMPORT = ("import", "model.pt", "--as", "mine", "--like", LIKE)
BLUR = (*IMPORT[:-1], "cifar10-blur")
NOISE = (*IMPORT[:-1], "celeba-noise")
#: One of the parameters.
BIAS = "denoise_fn.final_conv.1.bias"


def network(channels: int = 3) -> dict[str, Tensor]:
    """The parameters of a small network of the paper's kind."""
    torch.manual_seed(0)
    return dict(ConvNextUnet(dim=8, dim_mults=(1, 2), channels=channels).state_dict())


def state(wrapper: str = "denoise_fn.", channels: int = 3, **extra: Any) -> dict[str, Any]:
    """A released state dict, with other tensors in it."""
    return {**{wrapper + name: tensor for name, tensor in network(channels).items()}, **extra}


def kernels(*shape: int) -> dict[str, Tensor]:
    """The buffers of a blur of one step."""
    return {"gaussian_kernels.0.weight": torch.ones(3, 1, *shape)}


def wide(dim: int) -> dict[str, Tensor]:
    """Empty tensors of the shapes that tell how wide a network is."""
    lengths = {"time_mlp.3": dim, "downs.0.0.net.3": dim, "downs.1.0.net.3": 2 * dim}
    return {f"denoise_fn.{layer}.weight": torch.ones(length, 0) for layer, length in lengths.items()}


def saved(content: Any, **how: Any) -> Callable[[Path], object]:
    """Arranges model.pt by torch.save; ``content`` may be a function that makes it."""
    return lambda folder: torch.save(content() if callable(content) else content, folder / "model.pt", **how)


def ema(**extra: Any) -> Callable[[Path], object]:
    """Arranges a released checkpoint with other tensors in it."""
    return saved(lambda: {"ema": state(**extra)})


def written(content: bytes, name: str = "model.pt") -> Callable[[Path], object]:
    """Arranges a file."""
    return lambda folder: (folder / name).write_bytes(content)


def changed(change: Callable[[bytearray], object]) -> Callable[[Path], object]:
    """Arranges a released checkpoint whose bytes were changed after it was written."""

    def arrange(folder: Path) -> None:
        ema()(folder)
        content = bytearray((folder / "model.pt").read_bytes())
        change(content)
        (folder / "model.pt").write_bytes(content)

    return arrange


def flip(content: bytearray) -> None:
    """The highest bit of the exponent of a weight: 0.1 becomes 1e37, and zip's checksum another."""
    place = content.index(network()["final_conv.1.bias"].numpy().tobytes())
    content[place + 3] ^= 0x40


def flipped_safetensors(folder: Path) -> None:
    """The same flip where no checksum tells."""
    save_file(state(), folder / "model.pt")
    content = bytearray((folder / "model.pt").read_bytes())
    flip(content)
    (folder / "model.pt").write_bytes(content)


def zipped(folder: Path) -> None:
    """An archive that torch.save did not write."""
    with zipfile.ZipFile(folder / "model.pt", "w") as archive:
        archive.writestr("model/weights.bin", b"weights")


def imported(folder: Path) -> None:
    """A model that is registered as ``mine`` already."""
    ema()(folder)
    models = folder / "home" / "models"
    models.mkdir(parents=True)
    (models / "mine.safetensors").write_bytes(b"weights")
    (models / "registry.toml").write_text(
        '[mine]\ndataset = "mnist"\nsha256 = "0"\ntraining = {}\nnetwork = { name = "convnext-unet", channels = 3 }\n'
        'degradation = { name = "superres", image_size = 32, timesteps = 3 }\n'
    )


def looped(folder: Path) -> None:
    """A link to itself."""
    (folder / "loop").symlink_to("loop")


def set_to(name: str, *settings: str) -> tuple[str, ...]:
    """An evaluation of a shipped model's degradation with other settings."""
    given = [word for setting in settings for word in ("--set", setting)]
    return ("evaluate", name, "--images", "2", "--quiet", *given)


CASES = (
    # what a file is
    Case("a checkpoint that is not there", nothing, IMPORT, 2, r"cannot read model\.pt: there is no such file$"),
    Case("a folder as a checkpoint", lambda folder: (folder / "model.pt").mkdir(), IMPORT, 2, "it is a folder; name"),
    Case(
        "a pipe as a checkpoint", lambda folder: os.mkfifo(folder / "model.pt"), IMPORT, 2, "it is a pipe or a device"
    ),
    Case("an empty checkpoint", written(b""), IMPORT, 2, r"model\.pt is empty$"),
    Case("a web page as a checkpoint", written(b"\n<!DOCTYPE html><html>"), IMPORT, 2, "is a web page or XML"),
    Case(
        "a pointer of Git LFS as a checkpoint", written(b"version https://git-lfs.github.com/spec/v1\n"), IMPORT, 2,
        "is a pointer of Git LFS, no checkpoint: git lfs pull",
    ),
    Case("a text as a checkpoint", written(b"weights"), IMPORT, 2, "neither torch.save nor safetensors wrote it"),
    Case("a zip archive of something else", zipped, IMPORT, 2, r"is a zip archive, but none of torch\.save$"),
    Case("a plain pickle", written(pickle.dumps({"ema": 1})), IMPORT, 2, r"is a pickle, but none of torch\.save$"),
    Case(
        "a truncated checkpoint", changed(lambda content: content.__delitem__(slice(-2000, None))), IMPORT, 2,
        "is truncated: the end of the archive is missing",
    ),
    Case(
        "a checkpoint of old PyTorch, truncated",
        lambda folder: (
            saved(lambda: {"ema": state()}, _use_new_zipfile_serialization=False)(folder),
            os.truncate(folder / "model.pt", 9_000),
        ),
        IMPORT, 2, r"model\.pt is truncated$",
    ),
    Case("a bit flipped in a checkpoint", changed(flip), IMPORT, 2, "is damaged: .* in it has not its checksum"),
    Case(
        "a bit flipped in a .safetensors file", flipped_safetensors, (*IMPORT, "--weights-key", "."), 2,
        rf"is damaged: a value of {BIAS} is \d.\de\+3\d, which no training makes",
    ),
    Case(
        "a .safetensors file, truncated",
        lambda folder: (save_file(state(), folder / "model.pt"), os.truncate(folder / "model.pt", 5_000)),
        (*IMPORT, "--weights-key", "."), 2, r"is a damaged \.safetensors file: ",
    ),
    # what is in it
    Case(
        "a checkpoint with argparse.Namespace in it", saved(lambda: {"ema": state(), "args": argparse.Namespace(lr=1)}),
        IMPORT, 2, r"holds argparse\.Namespace, which is not loaded since that may run code",
    ),
    Case(
        "a whole module instead of its state dict", saved(lambda: torch.nn.Linear(2, 2)), IMPORT, 2,
        r"holds torch\.nn\.modules\.linear\.Linear, which is not loaded",
    ),
    Case(
        "a checkpoint with model and step, but no ema", saved(lambda: {"step": 7, "model": state()}), IMPORT, 2,
        "has 'step' and 'model', but no 'ema': name the state dict to take, e.g. --weights-key model",
    ),
    Case(
        "a state dict two levels down", saved(lambda: {"ema": {"shadow": state()}}), IMPORT, 2,
        r"e\.g\. --weights-key ema\.shadow$",
    ),
    Case("a bare state dict", saved(state), IMPORT, 2, r"is a bare state dict, .*: take it with --weights-key \.$"),
    Case(
        "a .safetensors file without ema", lambda folder: save_file(state(), folder / "model.pt"), IMPORT, 2,
        r"is a \.safetensors file without tensors under ema: .* take all with --weights-key \.$",
    ),
    Case(
        "a key that the file has not", saved(lambda: {"ema": state()}), (*IMPORT, "--weights-key", "model"), 2,
        "has 'ema', but no 'model': name the state dict to take, e.g. --weights-key ema",
    ),
    Case(
        "a checkpoint that is a list", saved([1, 2]), IMPORT, 2, "holds something of type list, no state dict$"
    ),
    Case("an ema that is a number", saved({"ema": 3}), IMPORT, 2, "has no state dict under 'ema', but .* type int$"),
    Case("an ema that is empty", saved({"ema": {}}), IMPORT, 2, "has no state dict under 'ema', but an empty one$"),
    Case(
        "a state dict with a word in it", ema(epoch="last"), IMPORT, 2,
        "has no state dict under 'ema': what it calls 'epoch' is of type str$",
    ),
    Case(
        "no --like, and a name that no model has", ema(), IMPORT[:-2], 2,
        "no model is called mine, .* name a model that has them with --like$",
    ),
    Case("two networks in one file", ema(**state("defade_fn.")), IMPORT, 2, "holds two networks, under denoise_fn"),
    Case(
        "a parameter twice, once wrapped by DataParallel", ema(**{f"module.{BIAS}": torch.ones(3)}), IMPORT, 2,
        f"holds {BIAS} twice, once as module.{BIAS}",
    ),
    Case("weights that are not finite", ema(**{BIAS: torch.full((3,), torch.inf)}), IMPORT, 2, f"{BIAS} is not finite"),
    Case("sparse weights", ema(**{BIAS: torch.ones(3).to_sparse()}), IMPORT, 2, "no plain weights: .* is sparse_coo"),
    Case("weights without numbers", ema(**{BIAS: torch.ones(3, device="meta")}), IMPORT, 2, "bias is no numbers"),
    Case("weights of whole numbers", ema(**{BIAS: torch.ones(3).int()}), IMPORT, 2, "no plain weights: .* is int32"),
    Case("complex weights", ema(**{BIAS: torch.ones(3) * 1j}), IMPORT, 2, "no plain weights: .* is complex64"),
    Case("true and false for weights", ema(**{BIAS: torch.ones(3) > 0}), IMPORT, 2, "no plain weights: .* is bool"),
    Case(
        "weights that a few bytes make fill the memory", ema(**{BIAS: torch.ones(1).expand(10**12)}), IMPORT, 2,
        "no plain weights: .* is 1,000,000,000,000 values made of 4 bytes",
    ),
    Case(
        "a network that no memory holds", ema(**wide(10**6)), IMPORT, 2,
        r"the parameters do not fit name convnext-unet, dim 1000000, dim_mults \[1, 2\]",
    ),
    Case("blur kernels of 1x1", ema(**kernels(1, 1)), BLUR, 2, "blur kernels are not .* k odd from 3"),
    Case("blur kernels of 0x0", ema(**kernels(0, 0)), BLUR, 2, "blur kernels are not .* k odd from 3"),
    Case("blur kernels of 4x4", ema(**kernels(4, 4)), BLUR, 2, "blur kernels are not .* k odd from 3"),
    Case("blur kernels of no channel", ema(**{"gaussian_kernels.0.weight": torch.ones(0, 1, 3, 3)}), BLUR, 2, "k odd"),
    Case("an empty noise schedule", ema(alphas_cumprod=torch.ones(0)), NOISE, 2, r"alphas_cumprod is \(0,\), no noise"),
    Case("a noise schedule of one number", ema(alphas_cumprod=torch.tensor(0.5)), NOISE, 2, r"is \(\), no noise"),
    Case(
        "a network of two channels", saved(lambda: {"ema": state(channels=2)}), IMPORT, 2,
        "its network must have channels = 1 or 3, not 2",
    ),
    # names and settings
    Case("a name with a line break", ema(), (*IMPORT[:3], "a\nb", *IMPORT[4:]), 2, r"'a\\nb' is not a valid name"),
    Case("a name of 300 letters", ema(), (*IMPORT[:3], "n" * 300, *IMPORT[4:]), 2, "use up to 100 letters"),
    Case("a name that is taken", imported, IMPORT, 2, "weights of mine already, .* replace them with --force$"),
    Case(
        "the name of weights that ship", ema(), (*IMPORT[:3], "mnist-superres", *IMPORT[4:]), 2,
        "there are weights of mnist-superres already, .* replace them with --force$",
    ),
    Case("timesteps=true", ema(), (*IMPORT, "--set", "timesteps=true"), 2, "takes a whole number, not True"),
    Case("image_size=0", nothing, set_to("mnist-superres", "image_size=0"), 2, "needs image_size of at least 1, not 0"),
    Case("kernel_std=0", nothing, set_to("mnist-inpaint", "kernel_std=0"), 2, "needs a kernel_std above 0, not 0"),
    Case("initial_mask=0", nothing, set_to("mnist-inpaint", "initial_mask=0"), 2, "initial_mask of at least 1, not 0"),
    Case(
        "images_per_field=0", nothing, set_to("mnist-snow", "images_per_field=0"), 2,
        "needs images_per_field of at least 1, not 0",
    ),
    Case("kernel_size=-3", nothing, set_to("mnist-blur", "kernel_size=-3"), 2, "size -3 must be odd, at least 3"),
    # the user's folder
    Case(
        "COLDBENCH_HOME of a user that is not there", nothing, ("check", "--quiet"), 2,
        "^coldbench: ~no-such-user/x names nobody's home folder: set COLDBENCH_HOME to a folder",
        {"COLDBENCH_HOME": "~no-such-user/x"},
    ),
    Case(
        "COLDBENCH_HOME with a name that is too long", nothing, ("train", "mnist-superres"), 2,
        r"File name too long\): set COLDBENCH_HOME to another folder", {"COLDBENCH_HOME": "n" * 256},
    ),
    Case(
        "COLDBENCH_HOME by a link to itself", looped, ("train", "mnist-superres"), 2,
        r"symbolic links\): set COLDBENCH_HOME to another folder", {"COLDBENCH_HOME": "loop/home"},
    ),
    Case(
        "COLDBENCH_HOME is a file", written(b"", "file"), IMPORT, 2,
        r"^coldbench: cannot look into file \(it is no folder\): set COLDBENCH_HOME", {"COLDBENCH_HOME": "file"},
    ),
    Case(
        "COLDBENCH_HOME below a file", written(b"", "file"), IMPORT, 2,
        r"cannot write to file/home \(Not a directory\): set COLDBENCH_HOME", {"COLDBENCH_HOME": "file/home"},
    ),
    Case(
        "COLDBENCH_HOME of nobody, for what is fetched", nothing, ("fetch", "mnist"), 2,
        "^coldbench: ~no-such-user/z names nobody's home folder: set COLDBENCH_HOME",
        {"COLDBENCH_HOME": "~no-such-user/z"},
    ),
    Case(
        "TORCH_HOME of nobody, for what is fetched", nothing, ("fetch", "inception"), 2,
        "names nobody's home folder: set TORCH_HOME", {"TORCH_HOME": "~no-such-user/torch"},
    ),
    Case(
        "a data root below a file", written(b"", "file"), ("fetch", "mnist", "--data-root", "file/data"), 2,
        "cannot write file/data/MNIST/raw/.* Not a directory$",
    ),
    Case(
        "a shipped row where COLDBENCH_HOME cannot be used", nothing,
        ("evaluate", "mnist-superres", "--methods", "degraded", "--images", "2", "--metrics", "SSIM", "--quiet"), 0,
        "~no-such-user/y names nobody's .* until then there is only what ships", {"COLDBENCH_HOME": "~no-such-user/y"},
    ),
)  # fmt: skip
