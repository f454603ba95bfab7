"""Options in sections, and their types; a mistake is told with the name of its option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import click

from coldbench.core.errors import BadInput
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
    """A command whose help lists its options in sections, those of no section last."""

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
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        if not names:
            self.fail("the list is empty", param, ctx)
        return tuple(self._known(name, param, ctx) for name in names)

    def _known(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self.registry is None or name in self.besides:
            return name
        try:
            return self.registry.key(name)
        except BadInput as error:
            self.fail(str(error), param, ctx)


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
