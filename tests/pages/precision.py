"""What arithmetics of fewer digits make of a blurred digit: the figure and the tables of docs/precision.md.

``python -m tests.pages.precision`` draws results/precision/precision.svg anew. The records beside it are made by the
commands that docs/precision.md names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import coldbench
from coldbench.core.files import write_atomically
from coldbench.data.decoding import decode
from coldbench.data.transforms import TRANSFORMS
from coldbench.records.comparison import render_comparison
from coldbench.records.formats import method_title
from coldbench.records.record import Record, load
from tests.pages.blocks import ROOT
from tests.pages.claims import cells, table

FOLDER = ROOT / "results" / "precision"
FIGURE = FOLDER / "precision.svg"
REFERENCE = ROOT / "results" / "reference" / "quick"
#: Arithmetic -> the bits that it keeps after the leading one.
BITS = {"float32": 23, "TF32": 10, "bfloat16": 7}
COLOURS = {"TF32": "#b35900", "bfloat16": "#a6192e", "float16": "#00629b", "float32": "#3c3c3c"}
_IMAGES = 100


def rounded(x: Tensor, bits: int) -> Tensor:
    """Float32 rounded to so many bits after the leading one."""
    if bits == BITS["float32"]:
        return x
    dropped = BITS["float32"] - bits
    integers = x.contiguous().view(torch.int32) + (1 << (dropped - 1))
    return (integers >> dropped << dropped).view(torch.float32)


def blurred() -> tuple[Tensor, list[Tensor]]:
    """The first digits (N, 1, 32, 32) in [-1, 1], and D(x, s) of them for s = 1..T of Table 1."""
    degradation = coldbench.build_degradation("mnist-blur")
    source, native = coldbench.open_images("mnist"), TRANSFORMS["native"]
    pixels = decode(source, transform=native, image_size=32, channels=1, count=_IMAGES).batch(range(_IMAGES))
    images = pixels.float() / 127.5 - 1
    return images, [degradation(images, s) for s in range(1, degradation.timesteps + 1)]


def contrast(x: Tensor) -> float:
    """The standard deviation inside of an image, averaged over images."""
    return float(x.double().std(dim=(1, 2, 3)).mean())


def rounding_error(x: Tensor, bits: int) -> float:
    """The root mean square of what rounding changes; of float32, what rounding to nearest changes on average."""
    if bits == BITS["float32"]:
        return float((torch.frexp(x.double()).exponent - 1 - bits).double().exp2().square().mean().div(12).sqrt())
    return float((x - rounded(x, bits)).double().square().mean().sqrt())


def moved(dtype: str) -> list[tuple[Record, Record]]:
    """The restored cells of all tables: the stored float32 records, and those of another arithmetic."""
    pairs = []
    for path in sorted((FOLDER / dtype).glob("table-*.json")):
        after = {each.key: each for each in cells(path)}
        before = [each for each in cells(REFERENCE / path.name) if each.where.method != "degraded"]
        pairs += [(each, after[each.key]) for each in before]
    return pairs


def deviations() -> str:
    """How far each restored number of the five tables moves, by arithmetic."""
    found = {dtype: moved(dtype) for dtype in ("bfloat16", "float16")}
    rows = []
    for (then, bf16), (_, f16) in zip(*found.values(), strict=True):
        where = f"{then.where.table}, {then.where.row}", method_title(then.where.method), then.metric.label
        rows.append((*where, *(_printed(each) for each in (then, bf16, f16))))
    return table(("Table, row", "Method", "Metric", "float32", "bfloat16", "float16"), rows)


def _printed(each: Record) -> str:
    return f"{each.value:.{each.metric.decimals}f}"


def rounded_input() -> str:
    """The comparison of one network on images of fewer digits."""
    (path,) = (FOLDER / "input").glob("*.json")
    return render_comparison(load(path), "markdown")


PASSAGES: dict[str, Callable[[], str]] = {"deviations": deviations, "rounded-input": rounded_input}


def draw() -> Any:
    """The figure: a blurred digit in three arithmetics, what is left of digits, and how far scores move."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.7))
    _pictures(above)
    left, right = below.subplots(1, 2)
    _contrasts(left)
    _scores(right)
    return figure


def _pictures(figure: Any) -> None:
    images, steps = blurred()
    shown = [("digit x", images[0]), *((f"x_T in {name}", rounded(steps[-1], bits)[0]) for name, bits in BITS.items())]
    figure.suptitle("A digit, and all that 20 blurs leave of it, with its contrast stretched", fontsize=11)
    for axis, (title, image) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        axis.imshow(image[0].numpy(), cmap="gray", interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()


def _contrasts(axis: Any) -> None:
    _, steps = blurred()
    severities = range(1, len(steps) + 1)
    axis.plot(severities, [contrast(x) for x in steps], color="black", linewidth=2, label="contrast of the digit")
    for name, bits in BITS.items():
        errors = [rounding_error(x, bits) for x in steps]
        axis.plot(severities, errors, color=COLOURS[name], linestyle="--", label=f"rounding error of {name}")
    axis.set(yscale="log", xlabel="severity s", title="What is left, and what rounding adds")
    axis.set_ylabel("standard deviation, images in [-1, 1]")
    axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.08))


def _scores(axis: Any) -> None:
    found = {
        dtype: [pair for pair in moved(dtype) if pair[0].metric.name == "SSIM"] for dtype in ("bfloat16", "float16")
    }
    labels = [f"Table {then.where.table}, {then.where.method}" for then, _ in found["bfloat16"]]
    for place, (dtype, pairs) in enumerate(found.items()):
        heights = [abs((now.value or 0) - (then.value or 0)) for then, now in pairs]
        positions = [at + 0.4 * place for at in range(len(pairs))]
        axis.barh(positions, heights, height=0.38, color=COLOURS[dtype], label=dtype)
    axis.set_yticks([at + 0.2 for at in range(len(labels))], labels, fontsize=8)
    axis.invert_yaxis()
    axis.axvline(1e-4, color="black", linewidth=1)
    axis.set(xscale="log", xlim=(1e-5, 1), xlabel="change of the SSIM; line: tolerance of float32")
    axis.set_title("How far scores move")
    axis.legend(fontsize=8)


def description() -> str:
    """What the bars of the figure show, in words."""
    bars = []
    for dtype in ("bfloat16", "float16"):
        for then, now in moved(dtype):
            if then.metric.name == "SSIM":
                name = f"{dtype}, Table {then.where.table}, {then.where.method}"
                bars.append(f"{name}: {abs((now.value or 0) - (then.value or 0)):.6f}")
    return "Change of the SSIM. " + "; ".join(bars)


def save(path: Path) -> None:
    """Draw the figure as SVG, the same from one time to the next."""
    import matplotlib as mpl

    metadata = {"Date": None, "Description": description()}
    with mpl.rc_context({"svg.hashsalt": "coldbench", "svg.fonttype": "none"}):
        figure = draw()
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata=metadata))


if __name__ == "__main__":
    save(FIGURE)
