"""The command line and what it measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import Case, nothing

RUN = ("run", "--table", "3", "--rows", "mnist", "--images", "2", "--quiet")
#: What a plug-in of these cases begins with.
_HEAD = "import numpy as np, torch, sys\nfrom coldbench import Degradation, FeatureSpace, mean_over_images\n"
EVALUATE = ("--degradation", "mnist-superres", "--data", "mnist", "--images", "3", "--features", "none", "--quiet")
BLEND = ("--set", "image_size=32", "--set", "timesteps=4", "--set", "channels=1", "--set", "towards=nois")
FEATURED = (*RUN, "--methods", "degraded", "--features", "mine:F")


def plugin(text: str) -> Callable[[Path], object]:
    """A module ``mine`` with this text."""
    return lambda folder: (folder / "mine.py").write_text(_HEAD + text)


def restorer(body: str) -> Callable[[Path], object]:
    """A module ``mine`` with a restorer ``R`` of this body."""
    return plugin(f"def R(x, s):\n    {body}\n")


def features(body: str) -> Callable[[Path], object]:
    """A module ``mine`` with a feature space ``F`` that extracts by this body."""
    return plugin(f"def extract(x):\n    {body}\ndef F(device):\n    return FeatureSpace('mine', '0' * 64, extract)\n")


def degradation(body: str) -> Callable[[Path], object]:
    """A module ``mine`` with a degradation ``D`` of this body, and a restorer ``R`` that does nothing."""
    return plugin(
        "class D(Degradation):\n"
        "    def __init__(self, *, timesteps: int = 2, image_size: int = 32):\n"
        "        super().__init__(timesteps=timesteps, image_size=image_size)\n"
        f"    def forward(self, x0, s, context=None):\n        {body}\n"
        "def R(x, s):\n    return x\n"
    )


def sampler(body: str) -> Callable[[Path], object]:
    """A module ``mine`` with a sampler ``S`` of this body."""
    return plugin(f"def S(restore, degradation, x_T, context, noise):\n    {body}\n")


def records(folder: Path) -> None:
    """Files that should hold records: one that is empty, one that holds none, and others."""
    (folder / "empty.json").write_text("")
    (folder / "none.json").write_text("[]")
    (folder / "odd.json").write_text(json.dumps([{"value": 1}]))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "nan.json").write_text("[NaN]")
    (folder / "binary.json").write_bytes(b"\xff\xfe[]")


def empty(name: str, *arguments: str) -> Case:
    """An option or an argument whose value is empty, as that of a variable that was not set."""
    return Case(f"`{name}` is empty", nothing, arguments, 2, rf"'{name}': it is empty; was a variable not set\?")


def evaluated(name: str, arrange: Callable[[Path], object], message: str, *arguments: str) -> Case:
    """A restorer ``mine:R`` that will not do, or something that is given with it."""
    return Case(name, arrange, ("evaluate", "mine:R", *EVALUATE, *arguments), 2, message)


def featured(name: str, body: str, message: str) -> Case:
    """A feature space ``mine:F`` that will not do."""
    return Case(name, features(body), FEATURED, 2, f"feature '{message}")


EMPTY = (
    empty("--data", *RUN, "--data", ""),
    empty("--output", *RUN, "--output", " "),
    empty("--rows", "run", "--table", "3", "--rows", ""),
    empty("--table", "run", "--table", ""),
    empty("--images", "run", "--table", "3", "--images", ""),
    empty("--reference", "check", "--reference", ""),
    empty("--data-root", "fetch", "mnist", "--data-root", ""),
    empty("--model", "compare", "naive", "direct", "--model", "mnist-blur", "--model", ""),
    empty("--set", *RUN, "--set", ""),
    empty("NAME...", "fetch", "mnist", ""),
    empty("RESTORER", "evaluate", ""),
    Case(
        "an empty name in a list",
        nothing,
        ("run", "--table", "3", "--rows", "mnist,,cifar10"),
        2,
        "'--rows': there is an empty name in 'mnist,,cifar10'",
    ),
    Case("a list of nothing but a comma", nothing, (*RUN, "--metrics", ","), 2, "'--metrics': there is an empty name"),
    Case("a setting without a value", nothing, (*RUN, "--set", "steps="), 2, "'steps=' is not a setting KEY=VALUE"),
)

NUMBERS = (
    evaluated(
        "NaN from a restorer, in the second image",
        restorer("x[1] = float('nan'); return x"),
        r"R\(x, 3\) gave NaN or infinity instead of pixels, first in image 1",
        "--methods",
        "sampled",
    ),
    evaluated(
        "infinity from a restorer, in its last step alone",
        restorer("return x / (s - 1)"),
        r"R\(x, 1\) gave NaN or infinity instead of pixels, first in image 0",
        "--methods",
        "sampled",
    ),
    evaluated(
        "numbers from a restorer that float32 does not hold",
        restorer("return x.double() * 1e300"),
        r"R\(x, 3\) gave NaN or infinity",
    ),
    evaluated(
        "NaN from a degradation",
        degradation("return x0 * float('nan') if s == 2 else x0"),
        "the degradation 'mine:D' gave NaN or infinity instead of pixels, first in image 0",
        "--degradation",
        "mine:D",
    ),
    evaluated(
        "NaN from a degradation at a low severity alone",
        degradation("return x0 * float('nan') if s == 1 else x0"),
        "the degradation 'mine:D' gave NaN or infinity instead of pixels, first in image 0",
        "--degradation",
        "mine:D",
    ),
    Case(
        "NaN from a sampler",
        sampler("return x_T * float('nan')"),
        (*RUN, "--methods", "mine:S"),
        2,
        "sampler 'mine:S', or the degradation in it, gave NaN or infinity instead of pixels, first in image 0",
    ),
    Case(
        "NaN from a sampler, given to the restorer",
        sampler("return restore(x_T * float('nan'), 1)"),
        (*RUN, "--methods", "mine:S"),
        2,
        r"the degradation, or the sampler on its way to R\(x, 1\), gave NaN or infinity",
    ),
    featured(
        "NaN from a feature space, in the second image",
        "y = x.mean((2, 3)); y[1] = float('nan'); return y",
        "mine' must give finite floating-point numbers, not NaN or infinity, first of image 1",
    ),
    featured(
        "features that float32 does not hold",
        "return x.mean((2, 3)).double() + 1e300",
        "mine' must give finite floating-point numbers, not NaN or infinity, first of image 0",
    ),
    Case(
        "NaN from a metric",
        plugin("M = mean_over_images('Odd', lambda x, y: x.mean((1, 2, 3)) * float('nan'), better='lower')\n"),
        (*RUN, "--methods", "degraded", "--metrics", "mine:M"),
        2,
        r"the Odd of degraded is not finite \(nan\)",
    ),
)

SHAPES = (
    evaluated(
        "an array from a restorer",
        restorer("return x.numpy()"),
        r"R\(x, s\) must give images of the shape of x, \(3, 1, 32, 32\), not ndarray",
    ),
    evaluated("a pair from a restorer", restorer("return x, s"), r"R\(x, s\) must give images .*, not tuple"),
    evaluated("nothing from a restorer", restorer("x.clamp(0, 1)"), r"R\(x, s\) must give images .*, not NoneType"),
    evaluated(
        "images of another shape from a restorer",
        restorer("return x[:, :, ::2]"),
        r"R\(x, s\) must give images .*, not torch\.float32 \(3, 1, 16, 32\)",
    ),
    evaluated(
        "complex images from a restorer",
        restorer("return torch.fft.fft2(x)"),
        r"R\(x, s\) must give images .*, not torch\.complex64",
    ),
    evaluated(
        "8-bit images from a restorer",
        restorer("return x.byte()"),
        r"R\(x, s\) must give images .*, not torch\.uint8 \(3, 1, 32, 32\)",
    ),
    evaluated(
        "a sparse tensor from a restorer",
        restorer("return x.to_sparse()"),
        r"R\(x, s\) must give images .*, not a tensor of torch\.sparse_coo",
    ),
    evaluated(
        "a tensor without numbers from a restorer",
        restorer("return x.to('meta')"),
        r"R\(x, s\) must give images .*, not a tensor of no numbers",
    ),
    evaluated(
        "an array from a degradation",
        degradation("return x0.numpy()"),
        r"D\(x, s\), the degradation 'mine:D', must give images .*, not ndarray",
        "--degradation",
        "mine:D",
    ),
    evaluated(
        "a degradation that fails",
        degradation("return x0[s]"),
        r"degradation 'mine:D' failed: ",
        "--degradation",
        "mine:D",
        "--set",
        "timesteps=5",
    ),
    Case(
        "a list from a sampler",
        sampler("return [x_T]"),
        (*RUN, "--methods", "mine:S"),
        2,
        "sampler 'mine:S' must give images .*, not list",
    ),
    featured(
        "whole numbers from a feature space", "return x.mean((2, 3)).long()", "mine' must give .*, not torch.int64"
    ),
    featured(
        "an array from a feature space", "return x.numpy()", r"mine' must give one vector an image, .*, not ndarray"
    ),
    featured("no number from a feature space", "return x[:, 0, 0, :0]", r"mine' must give .*, not \(2, 0\)"),
    featured("one vector for a whole batch", "return x.flatten()[None]", r"mine' must give .*, not \(1, 2048\)"),
)

PLUGINS = (
    Case(
        "a plug-in that leaves the program when it is imported",
        plugin("sys.exit(0)\n"),
        ("evaluate", "mine:R", *EVALUATE),
        2,
        r"restorer 'mine:R' cannot be loaded: it left the program, by sys\.exit\(0\)",
    ),
    evaluated(
        "a restorer that leaves the program",
        restorer("sys.exit('enough')"),
        r"R\(x, 3\) failed: it left the program, by sys\.exit\('enough'\)",
    ),
    evaluated(
        "a restorer that raises what is no Exception",
        restorer("raise BaseException('enough')"),
        r"R\(x, 3\) failed: BaseException: enough",
    ),
    evaluated(
        "a restorer that fails with a message of many lines",
        restorer("raise ValueError('one\\ntwo')"),
        r"R\(x, 3\) failed: ValueError: one two$",
    ),
    Case(
        "a plug-in that is not there",
        nothing,
        ("evaluate", "absent:R", *EVALUATE),
        2,
        "no module 'absent': it is neither installed nor in the working directory",
    ),
    Case(
        "a plug-in that imports what is not there",
        plugin("import absent.part\n"),
        ("evaluate", "mine:R", *EVALUATE),
        2,
        "no module 'absent': mine imports it: install it",
    ),
    Case(
        "a plug-in with an error of syntax",
        plugin("def R(x, s:\n"),
        ("evaluate", "mine:R", *EVALUATE),
        2,
        "restorer 'mine:R' cannot be loaded: SyntaxError: ",
    ),
    Case(
        "a plug-in without the attribute",
        plugin(""),
        ("evaluate", "mine:R", *EVALUATE),
        2,
        "module 'mine' has no attribute 'R'",
    ),
)

MEMORY = (
    evaluated(
        "the memory of a device is not enough for one image",
        restorer("raise torch.OutOfMemoryError('CUDA out of memory.')"),
        "the device is out of memory: lower --batch-size",
    ),
    evaluated(
        "the memory of the host is not enough",
        restorer("torch.empty(2**60)"),
        "the host is out of memory: lower --batch-size",
    ),
    evaluated(
        "an array larger than the memory",
        restorer("np.empty(2**60, np.uint8)"),
        "the host is out of memory: lower --batch-size",
    ),
    Case(
        "the memory of the host is not enough for features",
        features("return torch.empty(2**60)"),
        FEATURED,
        2,
        "the host is out of memory: lower --batch-size",
    ),
)

WORDS = (
    Case("no step of degradation", nothing, (*RUN, "--set", "timesteps=0"), 2, "needs timesteps of at least 1, not 0"),
    Case("half a step of degradation", nothing, (*RUN, "--set", "timesteps=1.5"), 2, "takes a whole number, not 1.5"),
    Case("true steps of degradation", nothing, (*RUN, "--set", "timesteps=true"), 2, "takes a whole number, not True"),
    Case(
        "a line break in the name of a folder",
        nothing,
        (*RUN, "--data", "folder:two\nlines"),
        2,
        r"two\\nlines",
    ),
    Case("a line break in a name", nothing, ("list", "two\nlines"), 2, "'two lines' cannot be listed"),
    Case(
        "an unknown option",
        nothing,
        (*RUN, "--bacth-size", "8"),
        2,
        "No such option '--bacth-size'.* see coldbench run --help",
    ),
    Case("an unknown command", nothing, ("rnu",), 2, "No such command 'rnu'"),
    Case("an option without a value", nothing, ("run", "--table"), 2, "Option '--table' requires an argument"),
    Case(
        "records in an empty file", records, ("show", "empty.json"), 2, r"empty\.json does not hold records of schema"
    ),
    Case("a file of no record, to be shown", records, ("show", "none.json"), 2, r"none\.json holds no record"),
    Case("a file of no record, to be compared", records, ("diff", "none.json", "none.json"), 1, "nothing to compare"),
    Case("records with other fields", records, ("show", "odd.json"), 2, r"odd\.json does not hold records of schema"),
    Case("records in brackets without end", records, ("show", "deep.json"), 2, r"deep\.json does not hold records"),
    Case(
        "NaN where records should be", records, ("diff", "nan.json", "nan.json"), 2, r"nan\.json does not hold records"
    ),
    Case(
        "records that are no text", records, ("show", "binary.json"), 2, r"binary\.json does not hold records of schema"
    ),
    Case("records in a folder", nothing, ("show", "."), 2, r"\. does not hold records of schema 5: Is a directory"),
    Case("references in a name too long", nothing, ("check", "--reference", "a" * 300), 2, "File name too long"),
    Case("no references to check", nothing, ("check", "--reference", "absent"), 3, r"no records \*\.json in absent"),
    Case(
        "output where a file is",
        lambda folder: (folder / "out").write_text(""),
        (*RUN, "--output", "out"),
        2,
        "cannot write out/.resume",
    ),
)

DRY_RUN = (
    Case(
        "a dry run in a format of tables", nothing, (*RUN, "--dry-run", "--format", "csv"), 2, "markdown or json, not"
    ),
    Case(
        "a dry run of more images than there are",
        nothing,
        ("run", "--table", "3", "--rows", "mnist", "--images", "20000", "--dry-run", "--quiet"),
        2,
        "MNIST has 10000 images, not 20000",
    ),
    Case(
        "a dry run of an image that is none",
        lambda folder: (folder / "a.png").write_text("no image"),
        (*RUN[:-3], "--data", "folder:.", "--dry-run", "--quiet"),
        2,
        r"a\.png cannot be read as an image",
    ),
    Case(
        "a dry run of nothing that is there",
        nothing,
        ("run", "--table", "3", "--rows", "cifar10", "--dry-run", "--quiet"),
        3,
        "nothing could be measured: degraded, sampled, direct: CIFAR-10 is not under .*: coldbench fetch cifar10",
    ),
)

BENCH = (
    Case("an unknown case of the benchmark", nothing, ("bench", "--only", "memroy"), 2, "did you mean memory"),
    Case(
        "a report of the benchmark that is none",
        lambda folder: (folder / "performance.json").write_text('{"cases": {"mine": {}}}'),
        ("bench", "--output", ".", "--quiet"),
        2,
        r"performance\.json is no report of coldbench bench, or of another version: remove it",
    ),
    Case(
        "a report of the benchmark where a file is",
        lambda folder: (folder / "out").write_text(""),
        ("bench", "--output", "out", "--quiet"),
        2,
        "cannot write out/performance",
    ),
)

NAMES = (
    Case(
        "a word as the size of batches",
        nothing,
        (*RUN, "--batch-size", "many"),
        2,
        "'many' is neither auto nor a whole",
    ),
    Case("an unknown arithmetic", nothing, (*RUN, "--dtype", "half"), 2, "'--dtype': 'half' is not one of"),
    Case(
        "a blend towards nothing that is known",
        plugin("def R(x, s):\n    return x\n"),
        ("evaluate", "mine:R", *EVALUATE[2:], "--degradation", "blend", *BLEND),
        2,
        "blend goes towards noise or other images: unknown dataset 'nois'",
    ),
    Case(
        "a model of the hub without its owner",
        nothing,
        ("evaluate", "hub:model", *EVALUATE),
        2,
        "'hub:model' is neither hub:OWNER/NAME nor hub:OWNER/NAME:FILE",
    ),
    Case(
        "a file of the hub that lies elsewhere",
        nothing,
        ("evaluate", "hub:owner/model:/etc/passwd", *EVALUATE),
        2,
        "'hub:owner/model:/etc/passwd' is neither hub:OWNER/NAME nor hub:OWNER/NAME:FILE",
    ),
    Case(
        "a folder without a model of diffusers",
        nothing,
        ("evaluate", "diffusers:.", *EVALUATE),
        2,
        r"cannot read config\.json: No such file",
    ),
)

CASES = (*EMPTY, *NUMBERS, *SHAPES, *PLUGINS, *MEMORY, *WORDS, *DRY_RUN, *BENCH, *NAMES)
