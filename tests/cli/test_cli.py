"""The command line as its users meet it: a subprocess with two streams and an exit code."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from coldbench.diffusion.catalog import find_entry
from tests.helpers import assert_one_clear_line, coldbench, interruptible

METHODS = ("degraded", "sampled", "direct")
#: What every record holds, whatever came of it.
FIELDS = {"where", "metric", "status", "reason", "value", "interval", "identity", "conditions", "cost", "published"}


def run_table(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return coldbench("run", "--table", "3", "--output", tmp_path / "out", *arguments)


COMMANDS = ("run", "evaluate", "compare", "check", "diff", "show", "list", "train", "import", "fetch")


def test_every_command_has_examples() -> None:
    top = coldbench("--help").stdout
    assert "coldbench run --table 1 --images 1000" in top
    for command in COMMANDS:
        assert f"  {command} " in top
        assert "Example" in coldbench(command, "--help").stdout


def test_help_waits_for_no_torch() -> None:
    script = (
        "import sys; from coldbench.cli import main\n"
        f"for command in {COMMANDS}: main([command, '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'pandas', 'scipy', 'skimage', 'torchvision'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_takes_no_time() -> None:
    """In seconds of the processor, so that a busy machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import coldbench"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.2


def test_json_is_one_array_of_self_contained_cells(tmp_path: Path) -> None:
    done = run_table(tmp_path, "--images", "16", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    cells = json.loads(done.stdout)
    assert all(cell.keys() >= FIELDS for cell in cells)
    measured = {(c["where"]["method"], c["metric"]["label"]): c for c in cells if c["status"] == "measured"}
    assert measured.keys() == {(m, label) for m in METHODS for label in ("FD[mnist-cnn]", "SSIM", "RMSE")}
    sampled = measured["sampled", "RMSE"]
    assert (sampled["where"]["title"], sampled["identity"]["images"]) == ("MNIST", 16)
    assert sampled["published"]["value"] == 0.115
    assert sampled["identity"]["checkpoint_sha256"] == find_entry("mnist-superres").sha256
    assert measured["direct", "FD[mnist-cnn]"]["metric"]["features"] == "mnist-cnn"
    assert measured["direct", "FD[mnist-cnn]"]["published"] is None
    assert len(cells) == len({(c["where"]["title"], c["where"]["method"], c["metric"]["label"]) for c in cells})


def test_missing_rows_say_what_supplies_them_and_the_others_still_run(tmp_path: Path) -> None:
    done = run_table(tmp_path, "--images", "16", "--methods", "degraded")
    assert done.returncode == 0, done.stderr
    assert "coldbench fetch cifar10" in done.stdout
    assert "CelebA-HQ images are not at" in done.stdout
    assert "coldbench fetch inception" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("| MNIST")]
    assert "FD[mnist-cnn]" in done.stdout
    assert len(lines) == 1


def test_rows_without_weights_still_show_their_degraded_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8))
    done = run_table(tmp_path, "--rows", "celeba", "--data", f"npz:{tmp_path / 'a.npz'}", "--format", "json")
    cells = {(c["where"]["method"], c["metric"]["name"]): c for c in json.loads(done.stdout)}
    assert cells["degraded", "RMSE"]["status"] == "measured"
    assert cells["sampled", "RMSE"]["value"] is None
    assert "coldbench train celeba-superres" in cells["sampled", "RMSE"]["reason"]


def test_a_run_leaves_records_table_and_picture(tmp_path: Path) -> None:
    done = run_table(tmp_path, "--rows", "mnist", "--images", "16")
    out = tmp_path / "out"
    assert (out / "table-3.md").read_text() == done.stdout
    assert {cell["identity"]["images"] for cell in json.loads((out / "table-3.json").read_text())} == {16}
    with Image.open(out / "pictures" / "table-3-mnist.png") as picture:
        assert picture.width > 8 * 32
    assert {path.name for path in out.iterdir()} == {"table-3.json", "table-3.md", "pictures"}


@pytest.mark.parametrize("style", ["markdown", "latex", "csv", "html"])
def test_formats(style: str, tmp_path: Path) -> None:
    done = run_table(tmp_path, "--rows", "mnist", "--images", "8", "--methods", "degraded", "--format", style)
    assert done.returncode == 0, done.stderr
    if style == "csv":
        frame = pd.read_csv(io.StringIO(done.stdout))
        assert frame[frame.metric == "SSIM"].published.item() == 0.178
    else:
        assert "0.178" in done.stdout
        assert {"markdown": "| MNIST", "latex": "\\toprule", "html": "<td>MNIST</td>"}[style] in done.stdout


def test_intervals_are_printed_where_asked_for(tmp_path: Path) -> None:
    arguments = ("--rows", "mnist", "--images", "40", "--methods", "degraded")
    assert "±" not in run_table(tmp_path, *arguments).stdout
    assert re.search(r"0\.\d{4} ± 0\.\d{4}", run_table(tmp_path, *arguments, "--intervals").stdout)
    shown = coldbench("show", tmp_path / "out" / "table-3.json", "--intervals")
    assert shown.stdout == run_table(tmp_path, *arguments, "--intervals").stdout


def test_too_few_images_for_a_feature_space_are_warned_of(tmp_path: Path) -> None:
    warning = "warning: 40 images are too few for the 128 dimensions of mnist-cnn"
    done = run_table(tmp_path, "--rows", "mnist", "--images", "40", "--methods", "degraded")
    assert warning in done.stderr
    assert "- MNIST: 40 images are too few" in done.stdout
    for other in (("compare", "degraded", "direct", "--model", "mnist-superres"), ("evaluate", "mnist-superres")):
        few = coldbench(*other, "--images", "40", "--features", "mnist-cnn", "--quiet", "--output", tmp_path)
        assert "40 images are too few" in few.stdout
    assert warning not in run_table(tmp_path, "--rows", "mnist", "--images", "129", "--methods", "degraded").stderr


def test_what_a_command_changes_wins_over_the_protocol_and_is_named(tmp_path: Path) -> None:
    command = ("run", "--table", "2", "--rows", "mnist", "--methods", "direct", "--images", "50", "--metrics", "RMSE")
    found = {}
    for choice in ("", "centre_outside=TRUE", "centre_outside=False"):
        asked = ("--set", choice) if choice else ()
        done = coldbench(*command, "--protocol", "released", *asked, "--output", tmp_path, "--format", "json")
        (found[choice],) = json.loads(done.stdout)
    assert {each["identity"]["protocol"] for each in found.values()} == {"released"}
    assert [each["identity"]["degradation"]["centre_outside"] for each in found.values()] == [True, True, False]
    assert [each["request"]["settings"] for each in found.values()] == [
        {}, {"centre_outside": True}, {"centre_outside": False}
    ]  # fmt: skip
    values = [each["value"] for each in found.values()]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("word", ["off", "no", "0", "1", "yes"])
def test_what_is_neither_true_nor_false_is_refused_by_name(word: str, tmp_path: Path) -> None:
    """It was once taken for true."""
    command = ("run", "--table", "2", "--rows", "mnist", "--images", "2", "--output", tmp_path)
    done = coldbench(*command, "--set", f"centre_outside={word}")
    assert_one_clear_line(done, 2, "the setting 'centre_outside' of the degradation 'inpaint' takes true or false, not")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "the degradation 'blur' needs image_size, timesteps, routine"),
        (("image_size=32", "timesteps=2", "routine=constant"), "the blur routine constant needs a setting std"),
        (("image_size=32", "timesteps=2", "routine=special-6", "std=1"), "special-6 takes no setting std"),
        (("image_size=32", "timesteps=2", "routine=constnat"), "one of constant, constant-reflect, special-6"),
        (("image_size=32.5",), "'image_size' of the degradation 'blur' takes a whole number, not 32.5"),
        (("sdt=1",), "has no setting 'sdt'; did you mean std?"),
    ],
)
def test_a_family_says_what_it_needs(settings: tuple[str, ...], message: str, tmp_path: Path) -> None:
    given = [word for setting in settings for word in ("--set", setting)]
    command = ("evaluate", "tests.example_plugin:sharpen", "--degradation", "blur", *given, "--data", "mnist")
    assert_one_clear_line(coldbench(*command, "--images", "2", "--quiet", "--output", tmp_path), 2, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("my_model.py", "--degradation", "mnist-blur", "--data", "mnist"), "is named my_model:NAME"),
        (("mnist-superres", "--data", "pics"), "did you mean folder:pics?"),
        (("mnist-superres", "--data", "pics.npz"), "did you mean npz:pics.npz?"),
        (("mnist-superrse",), "did you mean mnist-superres"),
    ],
)
def test_what_was_meant_is_suggested(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics.npz").touch()
    (tmp_path / "my_model.py").touch()
    assert_one_clear_line(coldbench("evaluate", *arguments, "--quiet", cwd=tmp_path), 2, message)


def test_own_images_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (30, 41), dtype=np.uint8)).save(folder / f"{i}.png")
    done = run_table(tmp_path, "--rows", "mnist", "--data", f"folder:{folder}", "--format", "json")
    cells = [cell for cell in json.loads(done.stdout) if cell["status"] == "measured"]
    assert {(cell["identity"]["data"], cell["identity"]["images"]) for cell in cells} == {("folder:digits", 4)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--table", "7"), "unknown table '7'; known: 1, 2, 3, 4, 5, all, or the path of a .toml file"),
        (("--rows", "mnits"), "table 3 has no row 'mnits'; did you mean mnist?"),
        (("--methods", "smapled"), "'--methods': unknown sampler 'smapled'; did you mean sampled"),
        (("--features", "vgg"), "'--features': unknown feature 'vgg'"),
        (("--images", "10001", "--rows", "mnist"), "MNIST has 10000 images, not 10001"),
        (("--data", "npz:absent.npz"), "--data replaces the images of one row"),
        (("--data", "npz:absent.npz", "--rows", "mnist"), "no file at absent.npz"),
        (("--rows", ","), "'--rows': there is an empty name in ','"),
        (("--methods", ""), "'--methods': it is empty"),
        (("--metrics", "SSMI"), "'--metrics': unknown metric 'SSMI'; did you mean SSIM"),
        (("--transform", "zom"), "'--transform': unknown transform 'zom'"),
        (("--set", "mode"), "'--set': 'mode' is not a setting KEY=VALUE"),
        (("--batch-size", "0"), "0 is not in the range"),
        (("--bacth-size", "8"), "No such option"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert_one_clear_line(run_table(tmp_path, *arguments), 2, message)


def test_truncated_image_in_the_middle_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / f"{i}.png")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:500])
    done = run_table(tmp_path, "--rows", "mnist", "--data", f"folder:{folder}", "--quiet")
    assert_one_clear_line(done, 2, "2.png cannot be read as an image")


def test_wrong_channel_count(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 32, 32, 3), np.uint8))
    done = run_table(tmp_path, "--rows", "mnist", "--data", f"npz:{tmp_path / 'a.npz'}")
    assert_one_clear_line(done, 2, "mode RGB, but this row restores 8-bit 1-channel images")


def test_unwritable_output_is_found_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    assert_one_clear_line(run_table(tmp_path, "--rows", "mnist"), 2, "cannot write")


def test_explicit_but_absent_features_are_missing(tmp_path: Path) -> None:
    done = run_table(tmp_path, "--rows", "mnist", "--features", "inception-v3-compat")
    assert_one_clear_line(done, 3, "coldbench fetch inception")


def test_corrupt_weights_score_nothing(tmp_path: Path, own_registry: Path) -> None:
    weights = find_entry("mnist-superres").weights.read_bytes()
    own_registry.with_name("bad.safetensors").write_bytes(weights[:-100])
    own_registry.write_text(
        '[mnist-superres]\ndataset = "mnist"\nweights = "bad.safetensors"\ntraining = {}\n'
        f'sha256 = "{find_entry("mnist-superres").sha256}"\n'
        'network = { name = "convnext-unet", dim = 16, dim_mults = [1, 2, 4], channels = 1 }\n'
        'degradation = { name = "superres", image_size = 32, timesteps = 3 }\n'
    )
    assert_one_clear_line(run_table(tmp_path, "--rows", "mnist"), 2, "but the registry expects")
    assert not (tmp_path / "out" / "table-3.json").exists()


def test_interrupt_keeps_finished_rows(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = interruptible("run", "--table", "all", "--rows", "mnist", "--output", str(out))
    # Table 1's degraded column takes seconds, so the signal arrives in Table 2 or 3.
    process = subprocess.Popen(
        [*command, "--methods", "degraded", "--metrics", "RMSE"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "table-1.md").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "coldbench: interrupted; the same command resumes from here"
    assert "Traceback" not in stderr
    assert stdout == ""
    assert all(cell["identity"]["images"] == 10_000 for cell in json.loads((out / "table-1.json").read_text()))


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m coldbench list models | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from coldbench.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    arguments = ["run", "--table", "3", "--rows", "mnist", "--methods", "degraded", "--quiet"]
    peaks = []
    for images in ("1000", "10000"):
        command = [sys.executable, "-c", script, *arguments, "--output", str(tmp_path), "--images", images]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stderr.splitlines()[-1]))
    assert peaks[1] < 1.05 * peaks[0]


@pytest.fixture
def training_digits(tmp_path: Path) -> np.ndarray:
    """Sixty images of noise where MNIST's training images belong."""
    digits = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    header = np.array([0x803, 60, 28, 28], ">i4").tobytes()
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + digits.tobytes()))
    return digits


@pytest.mark.usefixtures("training_digits")
def test_train_by_the_command_then_run_with_the_result(tmp_path: Path, own_registry: Path) -> None:
    own_registry.write_text(
        '[mnist-superres]\ndataset = "mnist"\n'
        'network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }\n'
        'degradation = { name = "superres", image_size = 32, timesteps = 3 }\n'
        "training = { steps = 3, batch_size = 4 }\n"
    )
    out = tmp_path / "runs"
    where = ("--data-root", tmp_path / "data", "--output", out)
    done = coldbench("train", "mnist-superres", *where, "--no-compile", "--grid-every", "2")
    assert done.returncode == 0, done.stderr
    folder = out / "mnist-superres"
    assert (folder / "samples" / "step-000002.png").exists()
    assert "| Steps run | 3 of 4 images |" in (folder / "model-card.md").read_text()
    cells = json.loads(run_table(tmp_path, "--rows", "mnist", "--images", "4", "--format", "json").stdout)
    sampled = [cell for cell in cells if cell["where"]["method"] == "sampled" and cell["value"] is not None]
    used = {cell["identity"]["checkpoint_sha256"] for cell in sampled}
    assert used == {find_entry("mnist-superres").sha256}
    kept = find_entry("mnist-superres").weights
    assert kept.parent == own_registry.parent
    assert kept.read_bytes() == (folder / "mnist-superres.safetensors").read_bytes()


def test_a_trained_generator_carries_its_start_and_needs_no_data_any_more(
    tmp_path: Path, own_registry: Path, training_digits: np.ndarray
) -> None:
    own_registry.write_text(
        '[mine]\ndataset = "mnist"\nstart = { name = "channel-means" }\n'
        'network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }\n'
        "training = { steps = 2, batch_size = 4, noise = 0.002 }\n"
        '[mine.degradation]\nname = "blur"\nimage_size = 32\ntimesteps = 3\nroutine = "exponential"\nstd = 0.01\n'
        "discrete = true\n"
    )
    where = ("--data-root", tmp_path / "data", "--output", tmp_path / "runs")
    done = coldbench("train", "mine", *where, "--no-compile")
    assert done.returncode == 0, done.stderr
    start = find_entry("mine").start
    # The 28-pixel images are stretched to 32, which moves a mean by its edges alone.
    assert start["mean"] == pytest.approx([training_digits.mean() / 255 * 2 - 1], abs=0.02)
    shutil.rmtree(tmp_path / "data")
    table = tmp_path / "mine.toml"
    table.write_text(
        '[tables.mine]\ncaption = "Digits"\nmetrics = ["FID"]\nmethods = ["broken-symmetry"]\n'
        '[[tables.mine.rows]]\ndataset = "mnist"\ncheckpoint = "mine"\n'
    )
    done = coldbench("run", "--table", table, "--images", "20", "--output", tmp_path / "out", "--format", "json")
    (found,) = [cell for cell in json.loads(done.stdout) if cell["metric"]["features"] == "mnist-cnn"]
    assert found["value"] > 0
    assert (found["identity"]["images"], found["identity"]["data"]) == (20, "MNIST training images")


def test_train_without_data_says_what_to_fetch(tmp_path: Path) -> None:
    done = coldbench("train", "mnist-blur", "--data-root", tmp_path, "--output", tmp_path)
    assert_one_clear_line(done, 3, "coldbench fetch mnist --data-root")


def test_fetch_offline_is_one_line(tmp_path: Path) -> None:
    """No proxy answers on this port, so the download fails at once wherever the test runs."""
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "coldbench", "fetch", "mnist", "--data-root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert_one_clear_line(done, 3, "train-images-idx3-ubyte.gz could not be downloaded from https://")
