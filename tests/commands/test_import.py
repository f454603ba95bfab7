"""Released checkpoints come in whole, and what does not fit stays out."""

from __future__ import annotations

import itertools
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from coldbench.commands.import_ import ImportRequest, import_checkpoint
from coldbench.core.errors import BadInput
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import Restorer, load_network
from coldbench.diffusion.degradations.blur import gaussian_kernel
from coldbench.diffusion.networks.convnext_unet import ConvNextUnet
from coldbench.diffusion.released import read_released
from coldbench.diffusion.sampling import improved_step, sample
from tests.helpers import assert_one_clear_line, coldbench, run_apart

CPU = torch.device("cpu")
#: fixture -> (the model it is like, what differs)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "blur_constant": ("mnist-blur", {}),
    "generate_blur": ("celeba-blur-generate", {"image_size": 32}),
    "mask_centred": ("celeba-inpaint", {"image_size": 32, "timesteps": 10}),
    "noise_cosine": ("celeba-noise", {"image_size": 32}),
    "snow_level3": ("cifar10-snow", {"timesteps": 20}),
    "super_area": ("cifar10-superres", {}),
}


def released(shared: Path, name: str) -> Path:
    return shared / "fixtures" / "released" / f"{name}.model.pt"


@pytest.mark.parametrize("name", CASES)
def test_fixtures_import_and_reproduce_their_outputs(name: str, shared: Path) -> None:
    like, settings = CASES[name]
    import_checkpoint(ImportRequest(released(shared, name), "mine", like, settings))
    entry = find_entry("mine")
    expected = load_file(shared / "fixtures" / "released" / f"{name}.safetensors")
    degradation, restore = build_degradation(entry.degradation), Restorer(load_network(entry), CPU)
    T = degradation.timesteps
    x0 = expected["x0"]
    with torch.inference_mode():
        if name == "noise_cosine":
            x_T = expected["z"]
        elif name == "snow_level3":
            x_T = expected[f"D_{T}"]
        else:
            x_T = degradation(x0, T)
            torch.testing.assert_close(x_T, expected["degraded"], atol=1e-4, rtol=0)
        torch.testing.assert_close(restore(x_T, T), expected["direct"], atol=1e-4, rtol=0)
        if "improved_final" in expected:
            final = sample(restore, degradation, x_T, None, improved_step).sampled
            torch.testing.assert_close(final, expected["improved_final"], atol=1e-4, rtol=0)


def test_the_ddpm_unet_imports(shared: Path) -> None:
    import_checkpoint(ImportRequest(released(shared, "ddpm_unet"), "mine", "cifar10-superres"))
    entry = find_entry("mine")
    assert entry.network == {
        "name": "ddpm-unet", "image_size": 32, "dim": 32, "dim_mults": [1, 2, 2, 2], "blocks": 2,
        "attention": [16], "channels": 3,
    }  # fmt: skip
    expected = load_file(shared / "fixtures" / "released" / "ddpm_unet.safetensors")
    with torch.inference_mode():
        y = load_network(entry)(expected["x"], expected["t"])
    torch.testing.assert_close(y, expected["y"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "like", "settings", "message"),
    [
        ("blur_constant", "mnist-blur", {"timesteps": 10}, "the file has 20 blur kernels of 11 taps"),
        ("blur_constant", "mnist-blur", {"std": 6.9}, "kernel of step 0 differs from ours by"),
        ("blur_constant", "mnist-blur", {"kernel_size": 9}, "have 11 taps, not 9"),
        ("blur_constant", "mnist-superres", {}, "it restores a blur of 20 steps"),
        ("super_area", "mnist-blur", {}, "no blur kernels"),
        ("noise_cosine", "celeba-noise", {"timesteps": 200}, "20 steps, not 200"),
        ("noise_cosine", "cifar10-snow", {}, "has a noise schedule of 20 steps, and is no snow"),
        ("blur_constant", "mnist-cnn", {}, "unknown model 'mnist-cnn'"),
        ("blur_constant", "mnist-blur", {"sdt": 7}, "the degradation of mine has no setting 'sdt'; did you mean std"),
        (
            "blur_constant",
            "mnist-blur",
            {"discrete": "no"},
            "'discrete' of the degradation of mine takes true or false",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, like: str, settings: dict[str, Any], message: str, shared: Path
) -> None:
    with pytest.raises(BadInput, match=message):
        import_checkpoint(ImportRequest(released(shared, name), "mine", like, settings))


@pytest.mark.parametrize("wrap", ["{}", "module.{}", "_orig_mod.{}", "module._orig_mod.{}"])
def test_all_layouts_without_the_reference_data(wrap: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ConvNextUnet(dim=8, dim_mults=(1, 2), channels=3)
    state = {wrap.format(f"denoise_fn.{name}"): tensor for name, tensor in network.state_dict().items()}
    torch.save({"step": 1, "model": {}, "ema": state}, tmp_path / "model.pt")
    done = coldbench("import", tmp_path / "model.pt", "--as", "mine", "--like", "cifar10-superres")
    assert done.returncode == 0, done.stderr
    assert "dim 8, dim_mults [1, 2], channels 3" in done.stdout
    for name, tensor in load_network(find_entry("mine")).state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def state(**extra: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = ConvNextUnet(dim=8, dim_mults=(1, 2), channels=3)
    return {**{f"denoise_fn.{name}": tensor for name, tensor in network.state_dict().items()}, **extra}


KERNEL = torch.full((3, 1, 3, 3), 1 / 9)
SCHEDULE = torch.linspace(0.9, 0.1, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (state(alphas=torch.ones(3)), "belongs to no degradation of ours: alphas"),
        (state(**{"gaussian_kernels.0.weight": KERNEL, "gaussian_kernels.2.weight": KERNEL}), "numbered from 0 on"),
        (state(**{"gaussian_kernels.0.weight": KERNEL, "gaussian_kernels.1.weight": KERNEL[..., :1]}), "of one size"),
        (state(**{"gaussian_kernels.0.weight": KERNEL * torch.ones(3, 1, 1, 1).cumsum(0)}), "from channel to channel"),
        (state(alphas_cumprod=SCHEDULE, sqrt_alphas_cumprod=torch.zeros(5)), "sqrt_alphas_cumprod is not that of"),
        (state(**{"denoise_fn.final_conv.1.bias": torch.tensor([torch.nan, 0, 0])}), "is not finite"),
        ({"denoise_fn.final_conv.1.weight": torch.ones(3, 8, 1, 1)}, "the parameters are incomplete"),
        ({"denoise_fn.other": torch.ones(3)}, "neither of the paper's networks"),
    ],
)
def test_incomplete_or_strange_files_are_refused(
    content: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    torch.save({"ema": content}, tmp_path / "model.pt")
    with pytest.raises(BadInput, match=message):
        import_checkpoint(ImportRequest(tmp_path / "model.pt", "mine", "cifar10-superres"))


@pytest.mark.parametrize("name", ["../evil", "", "a b", "blur", "mnist-cnn"])
def test_names_that_a_checkpoint_must_not_have(name: str, tmp_path: Path, own_home: Path) -> None:
    torch.save({"ema": state()}, tmp_path / "model.pt")
    with pytest.raises(BadInput, match=r"is not a valid name|is taken by"):
        import_checkpoint(ImportRequest(tmp_path / "model.pt", name, "cifar10-superres"))
    assert not (own_home / "models").exists()


def test_an_import_under_a_row_s_name_fills_it_and_keeps_the_recipe(tmp_path: Path) -> None:
    torch.save({"ema": state()}, tmp_path / "model.pt")
    done = coldbench("import", tmp_path / "model.pt", "--as", "cifar10-superres", "--force")
    assert done.returncode == 0, done.stderr
    entry = find_entry("cifar10-superres")
    assert entry.network["dim"] == 8
    assert entry.training["steps"] == 700_000
    assert entry.notes.startswith("Imported from model.pt; the recipe is that of cifar10-superres")


def test_kernels_tell_the_blur(tmp_path: Path) -> None:
    """Routine and std are those of no registered model."""
    torch.save({"ema": state(**kernels([1.25, 1.25]))}, tmp_path / "model.pt")
    import_checkpoint(ImportRequest(tmp_path / "model.pt", "mine", "cifar10-blur"))
    assert find_entry("mine").degradation == {
        "name": "blur", "image_size": 32, "timesteps": 2, "routine": "constant", "kernel_size": 7, "std": 1.25,
    }  # fmt: skip


def kernels(stds: list[float], size: int = 7) -> dict[str, torch.Tensor]:
    """The buffers of a blur with these stds, one a step."""
    lines = [gaussian_kernel(size, std).float() for std in stds]
    return {f"gaussian_kernels.{i}.weight": torch.outer(w, w).expand(3, 1, size, size) for i, w in enumerate(lines)}


def imported(tmp_path: Path, content: dict[str, torch.Tensor], *arguments: str) -> str:
    torch.save({"ema": content}, tmp_path / "model.pt")
    done = coldbench("import", tmp_path / "model.pt", "--as", "mine", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_read_and_what_was_assumed_is_said(tmp_path: Path) -> None:
    """Kernels tell routine and std, and never the padding."""
    growing = kernels([math.exp(0.05 * i) for i in range(4)])
    told = imported(tmp_path, state(**growing), "--like", "cifar10-blur")
    assert "read off the file's buffers: timesteps 4, kernel_size 7, routine exponential, std 0.05\n" in told
    assert "assumed: circular padding (routine exponential, not exponential-reflect), since kernels do not" in told
    told = imported(
        tmp_path, state(**growing), "--like", "cifar10-blur", "--set", "routine=exponential-reflect", "--force"
    )
    assert "assumed" not in told
    assert find_entry("mine").degradation["routine"] == "exponential-reflect"


def test_special_6_has_no_std(tmp_path: Path) -> None:
    """Its schedule is its own, even for a file like a model whose blur has one."""
    special = kernels([0.35 + i / 100 for i in range(4)])
    told = imported(tmp_path, state(**special), "--like", "mnist-blur")
    assert "read off the file's buffers: timesteps 4, kernel_size 7, routine special-6\n" in told
    assert "std" not in told
    assert "assumed" not in told
    assert "std" not in find_entry("mine").degradation


#: Arguments of an import under the name of a row, and what its table then misses.
OTHERS = (
    (("--as", "cifar10-superres", "--set", "mode=bicubic", "--force"), "mode bicubic instead of area"),
    (("--as", "cifar10-blur", "--like", "cifar10-superres", "--force"), "name superres instead of blur"),
    (("--as", "mnist-superres", "--like", "cifar10-superres", "--force"), "dataset cifar10 instead of mnist"),
)


@pytest.mark.parametrize(("arguments", "difference"), OTHERS)
def test_a_row_measures_only_what_its_table_says(arguments: tuple[str, ...], difference: str, tmp_path: Path) -> None:
    torch.save({"ema": state()}, tmp_path / "model.pt")
    assert coldbench("import", tmp_path / "model.pt", *arguments).returncode == 0
    name = arguments[1]
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    few = ("--data", f"npz:{tmp_path / 'a.npz'}", "--metrics", "SSIM", "--output", tmp_path, "--quiet")
    table = {"blur": "1", "superres": "3"}[name.partition("-")[2]]
    done = coldbench("run", "--table", table, "--rows", name.partition("-")[0], *few)
    assert done.returncode == 3
    assert f"{name} is registered with " in done.stderr
    assert difference in done.stderr
    assert f"so this is not what Table {table} measures: coldbench evaluate {name}" in done.stderr
    done = coldbench("evaluate", name, *few, "--methods", "direct")
    assert done.returncode == 0, done.stderr
    assert "SSIM" in done.stdout


class Evil:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_the_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"ema": Evil(tmp_path / "owned")}, tmp_path / "model.pt")
    done = coldbench("import", tmp_path / "model.pt", "--as", "mine", "--like", "mnist-blur")
    assert_one_clear_line(done, 2, "which is not loaded since that may run code")
    assert not (tmp_path / "owned").exists()


def nested(content: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A training state whose state dicts lie deeper."""
    return {"epoch": 3, "states": {"average": content, "raw": {}}}


@pytest.mark.parametrize(
    ("wrap", "save", "key"),
    [
        (lambda content: {"step": 1, "model": content}, torch.save, "model"),
        (nested, torch.save, "states.average"),
        (lambda content: {"a.b": content}, torch.save, "a.b"),
        (lambda content: content, torch.save, "."),
        (lambda content: content, save_file, "."),
        (lambda content: {f"net.ema.{name}": tensor for name, tensor in content.items()}, save_file, "net.ema"),
        (lambda content: {f"ema.{name}": tensor for name, tensor in content.items()}, save_file, None),
    ],
)
def test_the_state_dict_may_lie_anywhere(
    wrap: Callable[[Any], Any], save: Callable[..., None], key: str | None, tmp_path: Path
) -> None:
    content = state()
    save(wrap(content), tmp_path / "model.pt")
    named = ("--weights-key", key) if key else ()
    done = coldbench("import", tmp_path / "model.pt", "--as", "mine", "--like", "cifar10-superres", *named)
    assert done.returncode == 0, done.stderr
    for name, tensor in load_network(find_entry("mine")).state_dict().items():
        assert torch.equal(tensor, content[f"denoise_fn.{name}"])


@pytest.mark.parametrize("like", ["cifar10-blur", "celeba-noise"])
def test_a_network_alone_tells_nothing_of_its_degradation(like: str, tmp_path: Path) -> None:
    """What a training writes comes in again, e.g. on another machine."""
    content = {name.removeprefix("denoise_fn."): tensor for name, tensor in state().items()}
    save_file(content, tmp_path / "mine.safetensors")
    where = ("import", tmp_path / "mine.safetensors", "--as", "mine", "--like", like, "--weights-key", ".")
    done = coldbench(*where)
    assert done.returncode == 0, done.stderr
    assert "assumed: the degradation, since a network alone does not tell it\n" in done.stdout
    assert find_entry("mine").degradation["name"] == find_entry(like).degradation["name"]
    assert torch.equal(load_network(find_entry("mine")).state_dict()["final_conv.1.bias"], content["final_conv.1.bias"])


def test_every_single_bit_that_flips_in_an_archive_is_seen(tmp_path: Path) -> None:
    """Of the parameters, whichever it is; a few hundred of them stand for all."""
    torch.save({"ema": state()}, tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    place = whole.index(state()["denoise_fn.final_conv.1.weight"].numpy().tobytes())
    for number in range(0, 3 * 8 * 4 * 8, 5):
        damaged = bytearray(whole)
        damaged[place + number // 8] ^= 1 << number % 8
        (tmp_path / "model.pt").write_bytes(damaged)
        with pytest.raises(BadInput, match=r"is damaged: .* has not its checksum"):
            read_released(tmp_path / "model.pt")


def test_a_model_is_replaced_by_force_alone(tmp_path: Path, own_home: Path) -> None:
    imported(tmp_path, state(), "--like", "cifar10-superres")
    first = find_entry("mine")
    imported(tmp_path, state(), "--like", "cifar10-superres")  # the same again, which replaces nothing
    assert find_entry("mine") == first
    other = {name: tensor + 1 for name, tensor in state().items()}
    torch.save({"ema": other}, tmp_path / "model.pt")
    again = ("import", tmp_path / "model.pt", "--as", "mine", "--like", "cifar10-superres")
    assert_one_clear_line(coldbench(*again), 2, "there are weights of mine already")
    assert find_entry("mine") == first
    load_network(first)
    assert coldbench(*again, "--force").returncode == 0
    assert find_entry("mine").sha256 != first.sha256
    load_network(find_entry("mine"))
    assert len(list((own_home / "models").iterdir())) == 2


def twenty_kills(folder: str) -> None:
    """Processes that import one file after the other under one name, killed at random; another model is there too."""
    files = [Path(folder, f"{number}.pt") for number in range(2)]
    hashes, seen, random = set(), set(), np.random.default_rng(0)
    for number, file in enumerate(files):
        torch.save({"ema": {name: tensor + number for name, tensor in state().items()}}, file)
        for name in ("other", "mine"):
            import_checkpoint(ImportRequest(file, name, "cifar10-superres", force=True))
        hashes.add(find_entry("mine").sha256)
    for _ in range(20):
        if not (child := os.fork()):
            for file in itertools.cycle(files):
                import_checkpoint(ImportRequest(file, "mine", "cifar10-superres", force=True))
        time.sleep(random.uniform(0.1, 0.6))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        for name in ("other", "mine"):
            load_network(find_entry(name))
        seen.add(find_entry("mine").sha256)
    assert seen == hashes


@pytest.mark.slow
def test_whatever_kills_an_import_leaves_one_of_the_two_models_whole(tmp_path: Path, own_home: Path) -> None:
    run_apart(twenty_kills, str(tmp_path))
    import_checkpoint(ImportRequest(tmp_path / "0.pt", "mine", "cifar10-superres", force=True))
    assert len(list((own_home / "models").glob("mine-*"))) == 1  # what the killed ones left is gone
