"""What ``coldbench list`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldbench.diffusion.catalog import DATASETS, DEGRADATIONS, FEATURES, NETWORKS, RESTORERS, Entry, load_entries
from coldbench.tables.tables import TABLES

_REGISTRIES = {
    "degradations": DEGRADATIONS,
    "networks": NETWORKS,
    "datasets": DATASETS,
    "features": FEATURES,
    "restorers": RESTORERS,
}


def listing(what: str) -> str:
    """One line a thing.

    Raises:
        BadInput: a registry that cannot be read.
    """
    if what == "tables":
        return "\n".join(
            f"{table.number}  {table.caption}: {', '.join(f'{row.dataset} ({row.checkpoint})' for row in table.rows)}"
            for table in TABLES.values()
        )
    if what == "models":
        return "\n".join(_model_line(entry) for entry in load_entries().values())
    if what == "transforms":
        from coldbench.data.transforms import TRANSFORMS

        return "\n".join(f"{name:<12} {transform}" for name, transform in TRANSFORMS.items())
    return "\n".join(_REGISTRIES[what])


def _model_line(entry: Entry) -> str:
    weights = f"{entry.weights} ({entry.sha256[:12]})" if entry.sha256 else f"no weights: coldbench train {entry.name}"
    settings = listed({key: value for key, value in entry.degradation.items() if key != "name"})
    task = f"{entry.degradation['name']}: {settings}" if entry.degradation else "feature extractor"
    presets = f"presets: {', '.join(entry.presets)}" if entry.presets else ""
    lines = [f"{entry.name:<18} {weights}", task, *filter(None, [presets, entry.notes])]
    return f"\n{'':<19}".join(lines)


def listed(settings: Mapping[str, Any]) -> str:
    """Settings as ``key value, key value``."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())
