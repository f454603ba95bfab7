"""What a shell offers where a name is to be typed, looked up when Tab is pressed; torch is not waited for."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from coldbench.core.errors import ColdbenchError
from coldbench.diffusion.registries import DEGRADATIONS, RESTORERS, SAMPLERS
from coldbench.metrics.features import FEATURES

#: The environment variable by which a shell's script asks; click's name for it.
ASKED = "_COLDBENCH_COMPLETE"
#: What is typed so far, with the rest of the command line -> names that it may become.
Source = Callable[[click.Context, str], Iterable[str]]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
#: Feature spaces whose weights come with coldbench, with a package, or under the name ``inception``.
_NOT_FETCHED = frozenset({"mnist-cnn", "efficientnet-lite0", "inception-v3", "inception-v3-compat"})


def offer(*sources: Source, listed: bool = False) -> Complete:
    """The names of some sources, for click's ``shell_complete``.

    Args:
        sources: of names.
        listed: whether the value is a list with commas, whose last name is the one that is typed.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if listed else ("", "", incomplete)
        taken = {*before.split(","), *_typed(ctx, param)}
        try:
            with redirect_stderr(io.StringIO()):  # whatever there is to say, a half-typed line is no place for it
                names = [name for source in sources for name in source(ctx, last)]
        except (ColdbenchError, OSError):
            return []  # the command itself will say what is wrong
        fitting = [name for name in dict.fromkeys(names) if name.lower().startswith(last.lower())]
        return [CompletionItem(f"{before}{comma}{name}") for name in fitting if name not in taken]

    return complete


def _typed(ctx: click.Context, param: click.Parameter) -> tuple[str, ...]:
    """The values that an argument of several has already."""
    values: Any = ctx.params.get(param.name or "") if param.nargs == -1 else ()
    return tuple(values or ())


def _registered(names: Iterable[str]) -> Source:
    return lambda ctx, incomplete: names


def models(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The checkpoints of the registries."""
    from coldbench.diffusion.catalog import load_entries

    return load_entries()


def presets(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The presets of the checkpoint that is named, or of all."""
    from coldbench.diffusion.catalog import load_entries

    # Behind an option that lacks its value, click has not yet said which argument a word is.
    named = {ctx.params.get("name"), *ctx.args} - {None}
    return (preset for name, entry in load_entries().items() if not named or name in named for preset in entry.presets)


def tables(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The tables of the paper, by their names."""
    from coldbench.tables.tables import paper_tables

    return paper_tables()


def tables_or_file(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """What ``run --table`` takes."""
    return (*tables(ctx, incomplete), "all", *_paths("", incomplete, ".toml"))


def rows(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The rows, and their data sets, of the table that is named, or of all."""
    from coldbench.tables.tables import find_tables

    found = find_tables(ctx.params.get("table") or "all")
    return (name for table in found for row in table.rows for name in (row.name, row.dataset))


def data(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The data sets; folders and .npz files, as soon as their kind is typed."""
    from coldbench.data.datasets import DATASETS

    return (*DATASETS, *_of_kind("folder:", incomplete), *_of_kind("npz:", incomplete, ".npz"))


def restorers(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Plug-ins, and folders of diffusers'."""
    return (*RESTORERS, *_of_kind("diffusers:", incomplete))


def fetched(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """What ``fetch`` knows by name: those of ``commands.fetch``, which a test holds them to."""
    from coldbench.data.datasets import DATASETS

    weights = (name for name in FEATURES if FEATURES.is_builtin(name) and name not in _NOT_FETCHED)
    return (*DATASETS, "inception", "lpips", *weights)


degradations, samplers = _registered(DEGRADATIONS), _registered(SAMPLERS)


def _of_kind(kind: str, incomplete: str, suffix: str | None = None) -> Iterable[str]:
    """The kind itself, and once it is typed, the paths that may follow."""
    return _paths(kind, incomplete.removeprefix(kind), suffix) if incomplete.startswith(kind) else (kind,)


def _paths(kind: str, typed: str, suffix: str | None = None) -> Iterator[str]:
    """Folders, and files of a suffix, that begin with what is typed of a path; before that, files alone."""
    above, _, _ = typed.rpartition("/")
    folder = Path(above or ("/" if typed.startswith("/") else ".")).expanduser()
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = f"{above}/{entry.name}" if "/" in typed else entry.name
        if entry.is_dir() and (kind or typed) and not entry.name.startswith("."):
            yield f"{kind}{path}" if suffix is None else f"{kind}{path}/"
        elif suffix is not None and entry.name.endswith(suffix):
            yield f"{kind}{path}"
