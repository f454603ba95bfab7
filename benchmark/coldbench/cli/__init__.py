"""The command line: thin, no maths. torch is imported by the commands that need it, so that --help is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from coldbench import __version__
from coldbench.core.errors import BadInput, ColdbenchError, Interrupted, one_line
from coldbench.core.interrupts import resumable
from coldbench.core.paths import home
from coldbench.tables.tables import FORMATS

DEFECT = 70


def data_root_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--data-root, the same everywhere."""
    return click.option(
        "--data-root",
        type=click.Path(path_type=Path),
        default=lambda: home() / "data",
        show_default="$COLDBENCH_HOME/data",
        help="Folder of the data sets that do not ship.",
    )(command)


def device_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--device, the same everywhere."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute.",
    )(command)


def dtype_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--dtype, the same everywhere."""
    return click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Of the network.",
    )(command)


def batch_size_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--batch-size, the same everywhere."""
    return click.option(
        "--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Changes no result."
    )(command)


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--format, the same everywhere."""
    return click.option(
        "--format",
        "style",
        type=click.Choice(FORMATS),
        default="markdown",
        show_default=True,
        help="Of stdout.",
    )(command)


def fresh_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--fresh, the same everywhere."""
    return click.option("--fresh", is_flag=True, help="Forget what a stopped command left; begin anew.")(command)


def intervals_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--intervals, the same everywhere."""
    return click.option("--intervals", is_flag=True, help="Print 95 % intervals; records always hold them.")(command)


def workers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--workers, the same everywhere."""
    return click.option(
        "--workers",
        type=click.IntRange(min=0),
        help="Processes that decode images.  [default: one a core, up to 8]",
    )(command)


def output_option(default: str, what: str) -> Callable[..., Any]:
    """--output, the same everywhere but for where and what."""
    return click.option(
        "--output", type=click.Path(path_type=Path), default=Path(default), show_default=True, help=what
    )


def measuring_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to measure, the same for every command that does."""
    options: list[Callable[..., Any]] = [
        click.option(
            "--data",
            metavar="SPEC",
            help="Images to restore: folder:PATH, npz:PATH, a data set, or module:function of yours.",
        ),
        click.option(
            "--transform",
            type=click.Choice(["native", "zoom", "zoom-random"]),
            help="Of the images, unlike the row's; stored with the number.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting of the degradation, unlike the row's; stored with the number.",
        ),
        click.option(
            "--features",
            metavar="NAMES",
            default="auto",
            show_default=True,
            help="Feature spaces of the Frechet distance; auto takes what is at hand; none skips it.",
        ),
        device_option,
        dtype_option,
        batch_size_option,
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Of everything drawn at random.",
        ),
        click.option(
            "--protocol",
            type=click.Choice(["paper", "released"]),
            default="paper",
            show_default=True,
            help="The algorithms as printed, or the released code with its quirks.",
        ),
        data_root_option,
        workers_option,
        format_option,
        click.option(
            "--allow-random-weights",
            is_flag=True,
            help="Where a checkpoint has no weights, take random ones: a trial of everything but the network.",
        ),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="coldbench")
def main() -> None:
    """Regenerate the tables of "Cold Diffusion: Inverting Arbitrary Image Transforms Without Noise".

    \b
    coldbench run --table 1 --images 1000              Table 1 on 1,000 MNIST digits, beside the paper's numbers
    coldbench compare fixed-noise estimated-noise      two methods, their difference and its interval
    coldbench evaluate my_module:restore ...           a restoration model of your own
    coldbench check                                    have the numbers moved? for CI
    coldbench list models                              what can be measured, and what is missing
    coldbench train mnist-blur                         make a checkpoint as the shipped one was made

    Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 a check failed, 2 bad usage or bad
    input, 3 something needed is missing, 70 a defect, 130 interrupted.
    """


@main.command()
@click.option("--table", required=True, metavar="1|2|3|4|5|all", help="Which table of the paper.")
@click.option("--rows", metavar="NAMES", help="Only these data sets, e.g. mnist,cifar10.")
@click.option("--methods", metavar="NAMES", help="Only these, e.g. degraded or estimated-noise.  [default: all]")
@click.option(
    "--images",
    type=click.IntRange(min=2),
    help="Only the first N images; in Table 5, how many to generate.  [default: all; 6400]",
)
@measuring_options
@intervals_option
@fresh_option
@output_option("results/run", "Records, tables, pictures.")
def run(
    *, table: str, rows: str | None, methods: str | None, features: str, style: str, intervals: bool, **options: Any
) -> None:
    """Measure a table of the paper, the published numbers beside ours.

    \b
    Examples:
      coldbench run --table 2
      coldbench run --table all --images 1000 --format json
      coldbench run --table 1 --rows cifar10 --methods degraded --data npz:cifar10_test.npz
      coldbench run --table 3 --rows mnist --data folder:my_digits
      coldbench run --table 5 --rows mnist --images 1000
      coldbench run --table 3 --rows celeba --methods degraded --set timesteps=6

    Rows whose data or weights are absent are shown as missing, with the command that supplies them; where that leaves
    nothing, the exit code is 3. Every finished row is written to the output folder at once: table-N.json (records),
    table-N.md, pictures/. Rows that are there already stay; records of the same row with other images, seed or
    settings go to earlier/.
    """
    from coldbench.commands.run import RunOptions, check_measured, measure_tables
    from coldbench.records.formats import render

    request = RunOptions(
        table=table,
        rows=() if rows is None else _names("--rows", rows),
        methods=() if methods is None else _names("--methods", methods),
        features=_names("--features", features),
        **options,
    )
    with resumable():
        cells = measure_tables(request)
    _print(render(cells, style, intervals=intervals))
    check_measured(cells)


@main.command()
@click.argument("restorer", metavar="RESTORER")
@click.option(
    "--degradation",
    metavar="NAME",
    help="A family, a model whose degradation it is, or module:attribute of yours.  [default: RESTORER's own]",
)
@click.option("--methods", metavar="NAMES", default="degraded,sampled,direct", show_default=True, help="And naive.")
@click.option("--images", type=click.IntRange(min=2), help="Only the first N.  [default: all]")
@click.option("--channels", type=click.Choice([1, 3]), help="Of the images.  [default: RESTORER's own, or 3]")
@measuring_options
def evaluate(restorer: str, methods: str, features: str, style: str, **options: Any) -> None:
    """Measure any restoration model on any images: RESTORER is a model of the registry or module:attribute of yours.

    A restorer of yours is a callable R(x, s): images (B, C, S, S) in [-1, 1] after s = 1..T degradations in, estimates
    of the clean images out. A degradation of yours is a class or function whose arguments --set gives. Modules are
    found in the working directory, or installed; installed ones may also register names as entry points.

    \b
    Examples:
      coldbench evaluate mnist-blur --images 500
      coldbench evaluate my_module:restore --degradation cifar10-blur --data npz:cifar10_test.npz
      coldbench evaluate my_module:restore --degradation blur --set image_size=64 --set timesteps=20 --data folder:faces
      coldbench evaluate mnist-superres --data my_module:my_images
    """
    from coldbench.commands.evaluate import EvaluateOptions, evaluate_restorer, render

    request = EvaluateOptions(
        restorer=restorer,
        methods=_names("--methods", methods),
        features=_names("--features", features),
        **options,
    )
    _print(render(evaluate_restorer(request), request, style))


@main.command()
@click.argument("methods", nargs=-1, required=True, metavar="A B [C ...]")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="The checkpoint, or one hot and one cold.  [default: mnist-noise, mnist-blur-generate or mnist-blur]",
)
@click.option(
    "--images", type=click.IntRange(min=2), default=1000, show_default=True, help="How many to restore or generate."
)
@measuring_options
@fresh_option
@output_option("results/compare", "Records, tables, pictures.")
def compare(methods: tuple[str, ...], features: str, style: str, **options: Any) -> None:
    """Compare methods A, B, ... on the same images, seeds and starting noise.

    \b
    Hot generation:   fixed-noise, estimated-noise, ddpm
    Cold generation:  perfect-symmetry, broken-symmetry
    Restoration:      naive (Algorithm 1), improved (Algorithm 2), direct, degraded

    \b
    Examples:
      coldbench compare fixed-noise estimated-noise
      coldbench compare perfect-symmetry broken-symmetry --images 500
      coldbench compare estimated-noise broken-symmetry
      coldbench compare naive improved direct --model mnist-superres

    Prints each difference with its 95 % interval, and who is better where that interval excludes zero. The record,
    the table and a picture with one row a method go to the output folder; another record of that name goes to earlier/.
    """
    from coldbench.commands.compare import CompareOptions, compare_methods
    from coldbench.records.comparison import render

    request = CompareOptions(methods=methods, features=_names("--features", features), **options)
    with resumable():
        comparisons = compare_methods(request)
    _print(render(comparisons, style))


@main.command()
@click.option(
    "--full",
    is_flag=True,
    help="The tables at full size (about an hour and a half on two cores).  [default: 100 images a row]",
)
@click.option("--table", "tables", multiple=True, metavar="1|2|3|4|5", help="Only these tables.")
@click.option(
    "--reference", type=click.Path(path_type=Path), help="Folder of records table-*.json.  [default: those that ship]"
)
@click.option("--update", is_flag=True, help="Take the new numbers for references, after showing what moved.")
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit XML to this file.")
@click.option("--data", metavar="SPEC", help="The images, where the references were measured with run --data.")
@device_option
@dtype_option
@batch_size_option
@data_root_option
@workers_option
@format_option
@fresh_option
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def check(*, update: bool, **options: Any) -> None:
    """Measure again what the stored references measured, and say what has moved.

    \b
    Examples:
      coldbench check
      coldbench check --table 3 --junit coldbench.xml
      coldbench check --full --update
      coldbench check --reference my_records        # written by coldbench run --output my_records
      coldbench check --reference cifar_records --data npz:cifar10_test.npz

    Exit code 0: every number is within its tolerance of its reference; 1: one has moved, is gone, or was measured with
    other images, weights, data or settings, and is refused; 3: nothing could be measured.
    """
    from coldbench.commands import check as commands
    from coldbench.records.drift import fail_if_moved

    # What is measured is forgotten when it has been told: not before, lest a full disk lose it.
    with resumable(), commands.check(commands.CheckOptions(**options)) as checked:
        _print(checked.text)
        if update:
            commands.update(checked)
    if not update:
        fail_if_moved(checked.drifts)


@main.command()
@click.argument("then", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("now", metavar="B.json", type=click.Path(path_type=Path))
@format_option
def diff(then: Path, now: Path, style: str) -> None:
    """Compare two files of records, as check compares with the references; exit code 1 where a number has moved.

    \b
    Example:
      coldbench diff results/reference/quick/table-3.json results/run/table-3.json
    """
    from coldbench.records.drift import compare_records, fail_if_moved
    from coldbench.records.drift_report import render
    from coldbench.records.record import load

    drifts = compare_records(load(then), load(now))
    _print(render(drifts, f"{then} against {now}", style))
    fail_if_moved(drifts)


@main.command()
@click.argument("records", nargs=-1, required=True, metavar="RECORDS.json...", type=click.Path(path_type=Path))
@format_option
@intervals_option
def show(records: tuple[Path, ...], style: str, intervals: bool) -> None:
    """Print stored records as the table they were measured for.

    \b
    Example:
      coldbench show results/reference/full/table-1.json --format latex
    """
    from coldbench.records.formats import render
    from coldbench.records.record import load

    _print(render([cell for path in records for cell in load(path)], style, intervals=intervals))


@main.command("list")
@click.argument(
    "what",
    metavar="WHAT",
    type=click.Choice(
        ["tables", "models", "degradations", "networks", "datasets", "features", "restorers", "transforms"]
    ),
)
def list_(what: str) -> None:
    """List tables, models, degradations, networks, datasets, features, restorers (plug-ins) or transforms."""
    from coldbench.commands.listing import listing

    _print(listing(what))


@main.command()
@click.argument("name")
@click.option("--preset", metavar="NAME", help="Another recipe of the same checkpoint, e.g. quick.")
@click.option(
    "--data",
    multiple=True,
    metavar="SPEC",
    help="Other training images, as in run; several are joined.",
)
@data_root_option
@workers_option
@device_option
@output_option("runs", "Receives a folder NAME, or NAME-PRESET.")
@click.option(
    "--compile/--no-compile", "compile_network", default=None, help="Fuse the network.  [default: where a compiler is]"
)
@click.option(
    "--grid-every",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="STEPS",
    help="Between pictures.",
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def train(name: str, **options: Any) -> None:
    """Train the checkpoint NAME by the recipe of its registry entry.

    \b
    Examples:
      coldbench fetch mnist && coldbench train mnist-blur
      coldbench train mnist-cnn --data-root data --output runs
      coldbench train cifar10-blur                                  the paper's recipe: days on a GPU
      coldbench train cifar10-blur --preset quick                   a small network, 2,000 steps
      coldbench train cifar10-blur --data folder:cifar_jpeg --data npz:cifar_true.npz

    A stopped run goes on where it was when the same command is given again (mnist-cnn, a classifier that takes minutes
    on any CPU, starts anew). The result is a .safetensors file and a model card in OUTPUT/NAME, registered under NAME
    in $COLDBENCH_HOME/models/registry.toml.
    """
    from coldbench.commands.train import TrainOptions, train_checkpoint

    with resumable():
        told = train_checkpoint(TrainOptions(name=name, **options))
    _print(told)


@main.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "name", required=True, metavar="NAME", help="The name it gets in your registry.")
@click.option("--like", metavar="MODEL", help="A registered model with its data set and degradation.  [default: NAME]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the degradation unlike MODEL's."
)
def import_(path: Path, name: str, like: str | None, settings: tuple[str, ...]) -> None:
    """Import a checkpoint of the released code (model.pt).

    \b
    Examples:
      coldbench import model.pt --as celeba-blur                      fills the row of Table 1
      coldbench import model.pt --as my-celeba-blur --like celeba-blur
      coldbench import model.pt --as my-snow --like cifar10-snow --set timesteps=20 --set level=2

    The averaged network (EMA) is taken. Its widths, levels and channels are read off its parameters, T, kernels and
    noise schedule off the file's buffers where it has them; the rest of the degradation is MODEL's. Buffers that are
    not ours, or not what --set says, are refused. Code in the file is never run. Weights and entry go to
    $COLDBENCH_HOME/models.
    """
    from coldbench.commands.import_ import ImportOptions, import_checkpoint

    _print(import_checkpoint(ImportOptions(path, name, like or name, settings)))


@main.command()
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="NAME...",
    type=click.Choice(["mnist", "cifar10", "inception", "celeba", "afhq"]),
)
@data_root_option
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def fetch(names: tuple[str, ...], data_root: Path, quiet: bool) -> None:
    """Download mnist, cifar10 or inception (feature weights); nothing else in coldbench downloads.

    For celeba and afhq, whose licences must be agreed to by hand, it says how to get them. A download that breaks off
    goes on where it was when the same command is given again; every file is checked.

    \b
    Example:
      coldbench fetch mnist inception
    """
    from coldbench.data.fetch import FETCH

    for name in sorted(names, key=["celeba", "afhq"].__contains__):  # those that end with an error come last
        _print(FETCH[name](data_root, quiet=quiet))


def _names(option: str, text: str) -> tuple[str, ...]:
    """A comma-separated list, each name once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise BadInput(f"{option} names nothing")
    return names


def _print(text: str) -> None:
    """Results to stdout; a reader that has gone (head, less) is no error."""
    if sys.stdout is None:  # closed, as by >&-
        return
    try:
        click.echo(text, nl=not text.endswith("\n"))
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more when it closes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise BadInput(f"cannot write to stdout: {error.strerror}") from error


def entry_point() -> None:
    """Run the command line; every known failure is one line on stderr and its own exit code."""
    try:
        main(standalone_mode=False)
    except ColdbenchError as error:
        _leave(str(error), error.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(BadInput.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _leave("interrupted", Interrupted.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("COLDBENCH_TRACEBACK"):
            raise
        _leave(
            f"a defect, of coldbench or of a plug-in: {type(error).__name__}: {one_line(error)}; "
            "COLDBENCH_TRACEBACK=1 shows where",
            DEFECT,
        )


def _leave(message: str, code: int) -> None:
    click.echo(f"coldbench: {message}", err=True)
    sys.exit(code)
