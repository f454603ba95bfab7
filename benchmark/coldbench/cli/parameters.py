"""Options in sections, and their types; a mistake is told with the name of its option."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from coldbench.cli.completion import offer
from coldbench.cli.printing import stdout_for_results
from coldbench.core.errors import BadInput, out_of_memory
from coldbench.core.registry import Registry

OTHERS = "Options"
#: The sections of a command's help, in order.
SECTIONS = ("What is measured", "How it is computed", "What is printed and kept", OTHERS)


class SectionOption(click.Option):
    """An option that the help lists in a section of its own.

    Args:
        section: its heading.
    """

    def __init__(self, *declarations: Any, section: str, **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help lists its options in sections, those of no section last.

    It refuses what is empty by name, and leaves stdout to its results.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in () if ctx.resilient_parsing else self.get_params(ctx):  # as for completion in a shell
            value = given.get(parameter.name or "")
            values = value if isinstance(value, list | tuple) else (value,)
            if any(isinstance(each, str) and not each.strip() for each in values):
                raise click.BadParameter("it is empty; was a variable not set?", ctx, parameter)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with stdout_for_results():
            try:
                return super().invoke(ctx)
            except (MemoryError, RuntimeError, OSError) as error:
                where = out_of_memory(error)
                if not where:
                    raise
                raise BadInput(f"the {where} is out of memory: {self._thrift()}") from error

    def _thrift(self) -> str:
        """What takes less memory."""
        if any(parameter.name == "batch_size" for parameter in self.params):
            return "lower --batch-size"
        trains = any(parameter.name == "preset" for parameter in self.params)
        return "lower --set batch_size" if trains else "give it more, or less to do"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            told = parameter.get_help_record(ctx)
            if told is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", OTHERS), []).append(told)
        for heading in sorted(sections, key=SECTIONS.index):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])


class Names(click.ParamType[Any]):
    """A comma-separated list of names, each once.

    Args:
        registry: that they must be in, unless they are ``module:attribute``; None where only the command can tell.
        besides: other words that serve.
    """

    name = "names"

    def __init__(self, registry: Registry | None = None, besides: Sequence[str] = ()) -> None:
        self.registry, self.besides = registry, besides

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if not isinstance(value, str):
            return tuple(value)
        names = dict.fromkeys(name.strip() for name in value.split(","))
        if "" in names:
            self.fail(f"there is an empty name in '{value}'", param, ctx)
        return tuple(self._known(name, param, ctx) for name in names)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = (*(self.registry or ()), *self.besides)
        return offer(lambda ctx, incomplete: names, listed=True)(ctx, param, incomplete)

    def _known(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self.registry is None or name in self.besides:
            return name
        try:
            return self.registry.key(name)
        except BadInput as error:
            self.fail(str(error), param, ctx)


def as_dict(ctx: click.Context, param: click.Parameter, value: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a repeated option of settings."""
    return dict(value)


class Setting(click.ParamType[Any]):
    """``KEY=VALUE`` with a number, true or false in any case, or a word."""

    name = "setting"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        if not equals or key in ("", "name") or not text:
            self.fail(f"'{value}' is not a setting KEY=VALUE", param, ctx)
        if text.lower() in ("true", "false"):
            return key, text.lower() == "true"
        for number in (int, float):
            try:
                parsed = number(text)
            except ValueError:
                continue
            if not math.isfinite(parsed):
                self.fail(f"'{value}' is not finite", param, ctx)
            return key, parsed
        return key, text


class Positions(click.ParamType[Any]):
    """A comma-separated list of positions, from 0, and of runs of them such as 0-7; each once."""

    name = "positions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        found: dict[int, None] = {}
        for part in value.split(","):
            # A run of a thousand million positions would fill the memory before it is found to be too long.
            run = re.fullmatch(r"\s*([0-9]{1,6})(?:-([0-9]{1,6}))?\s*", part)
            if run is None or int(run[2] or run[1]) < int(run[1]):
                self.fail(f"'{part}' is neither a position, from 0, nor a run of them such as 0-7", param, ctx)
            found |= dict.fromkeys(range(int(run[1]), int(run[2] or run[1]) + 1))
        return tuple(found)


class BatchSize(click.IntRange):
    """A number of images, or ``auto``."""

    name = "auto|integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return value
        if isinstance(value, str) and not value.strip().removeprefix("-").isdecimal():
            self.fail(f"{value!r} is neither auto nor a whole number", param, ctx)
        return super().convert(value, param, ctx)


class TransformName(click.ParamType[Any]):
    """The name of a transform of images."""

    name = "transform"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from coldbench.data.transforms import find_transform

        try:
            find_transform(value)
        except BadInput as error:
            self.fail(str(error), param, ctx)
        return str(value)


def set_in(declare: Callable[..., Any]) -> Callable[..., Any]:
    """--set of the settings of a degradation, in the section that ``declare`` puts options in."""
    words = "Change a setting of the degradation (coldbench list degradations). The option may be repeated."
    kind = Setting()
    return declare("--set", "settings", type=kind, multiple=True, callback=as_dict, metavar="KEY=VALUE", help=words)
