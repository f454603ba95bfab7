"""The commands in the help of the program: in sections, in the order of their use."""

from __future__ import annotations

import click

#: The commands in the order of their use, in sections.
COMMANDS = {
    "Measure, restore and score": ("run", "compare", "evaluate", "score", "restore"),
    "Check and show what was measured": ("check", "diff", "show", "report"),
    "Get models and data": ("fetch", "train", "import", "list"),
    "More": ("sweep", "board", "export", "statistics", "bench"),
}


class SectionGroup(click.Group):
    """The program, whose help lists its commands in the sections of ``COMMANDS``; others come last."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        ordered = dict.fromkeys(name for names in COMMANDS.values() for name in names)
        return [name for name in {**ordered, **self.commands} if name in self.commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        known = [name for section in COMMANDS.values() for name in section]
        sections = {**COMMANDS, "Other commands": [name for name in names if name not in known]}
        room = formatter.width - 6 - max(map(len, names))
        for heading, section in sections.items():
            told = [(name, self.commands[name].get_short_help_str(room)) for name in section if name in names]
            if told:
                with formatter.section(heading):
                    formatter.write_dl(told, col_max=20)
