"""``coldbench bench``: measure cases, one after the other, and write the report anew after each."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from coldbench.commands.bench.cases import CASES
from coldbench.commands.bench.report import markdown, picture
from coldbench.commands.bench.workloads import SEED
from coldbench.core import array_cache
from coldbench.core.devices import device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import write_text
from coldbench.core.paths import exists
from coldbench.core.progress import tell
from coldbench.core.provenance import revision, versions
from coldbench.core.registry import did_you_mean


def bench(output: Path, *, only: Sequence[str] = (), quick: bool = False, quiet: bool = False) -> str:
    """Measure cases and merge them into the report in a folder, where those that are not measured again stay.

    Args:
        output: the folder.
        only: names of cases; all that this machine can run unless given.
        quick: take tiny networks and few images: a trial of the command, whose files are of another name.
        quiet: do not tell which case is at work.

    Returns:
        The report as Markdown.

    Raises:
        Missing: a case needs a device that this machine has not.
        BadInput: an unknown case, a report that cannot be read, or a folder that cannot be written.
        CheckFailed: the sides do not compute the same.
    """
    for name in only:
        if name not in CASES:
            raise BadInput(f"unknown case '{name}'{did_you_mean(name, CASES)}")
        if not CASES[name].possible:
            raise Missing(f"{name} needs a CUDA device, and there is none here")
    path = output / ("performance-quick.json" if quick else "performance.json")
    cases = _stored(path)
    _check_writable(path)
    for name in only or [name for name, case in CASES.items() if case.possible]:
        if not quiet:
            tell(f"measuring {name}")
        with array_cache.unused():  # features that another command has left would be no work of ours
            found = CASES[name].measure(quick)
        cases[name] = {"conditions": _conditions(quick, CASES[name].device), "found": found}
        cases = {each: cases[each] for each in CASES if each in cases}
        _write(cases, path)
    return markdown(cases)


def _stored(path: Path) -> dict[str, Any]:
    """The cases that were measured before.

    Raises:
        BadInput: the file is none of ours.
    """
    if not exists(path):
        return {}
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        markdown(cases)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is no report of coldbench bench, or of another version: remove it") from error
    return dict(cases)


def _check_writable(path: Path) -> None:
    """Whether the report can be written, before minutes are spent on it.

    Raises:
        BadInput: it cannot.
    """
    trial = path.with_name(f"{path.stem}-trial")
    write_text(trial, "")
    trial.unlink()


def _write(cases: Mapping[str, Any], path: Path) -> None:
    write_text(path, json.dumps({"cases": cases}, indent=1, allow_nan=False) + "\n")
    write_text(path.with_suffix(".md"), markdown(cases))
    write_text(path.with_suffix(".svg"), picture(cases))


def _conditions(quick: bool, device: str) -> dict[str, Any]:
    """Everything that times depend on."""
    return {
        "quick": quick,
        "cpu": _cpu(),
        "gpu": "" if device == "cpu" else device_name(torch.device(device)),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "seed": SEED,
        "revision": revision(),
        "versions": versions(),
    }


def _cpu() -> str:
    """The name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "a processor without a name"
