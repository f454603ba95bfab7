"""Records of schema 2, as versions before 0.2 wrote them, turned into those of schema 3.

They named what a command had changed inside of the protocol's name, and not the degradation's other settings: these are
not known, and are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_CAPTIONS = {
    1: "Deblurring",
    2: "Inpainting",
    3: "Super-resolution",
    4: "Snow removal",
    5: "Generation, hot and cold",
}
_OURS = "ours, not in the paper"
_FRECHET: dict[str, Any] = {
    "better": "lower",
    "decimals": 2,
    "relative": True,
    "tolerances": {"float32 cpu": 1e-3, "float32 gpu": 1e-2, "bfloat16 cpu": 3e-2, "bfloat16 gpu": 3e-2},
}
_METRICS: dict[str, dict[str, Any]] = {
    "FID": _FRECHET,
    "FD": _FRECHET,
    "SSIM": {
        "better": "higher",
        "decimals": 4,
        "relative": False,
        "tolerances": {"float32 cpu": 1e-4, "float32 gpu": 1e-3, "bfloat16 cpu": 1e-2, "bfloat16 gpu": 1e-2},
    },
    "RMSE": {
        "better": "lower",
        "decimals": 4,
        "relative": False,
        "tolerances": {"float32 cpu": 5e-5, "float32 gpu": 5e-4, "bfloat16 cpu": 3e-3, "bfloat16 gpu": 3e-3},
    },
}
#: What is written into other words, and so must be words.
_WORDS = ("protocol", "dataset", "note", "checkpoint", "degradation", "metric")
_NO_BLUR = "a blurred image lives in its last decimals, and bfloat16 has none of them"


def upgraded(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The record of schema 3 that says what this cell of schema 2 said.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    for name in _WORDS:
        if not isinstance(cell[name], str):
            raise TypeError(f"{name} is {cell[name]!r:.40}")
    protocol, transform, settings = _parsed(cell["protocol"])
    ours = cell["note"] == _OURS
    row = cell["checkpoint"] if cell["table"] == 5 else str(cell["checkpoint"]).partition("-")[0]
    decimals = 2 if cell["metric"] == "FID" else 3
    return {
        "where": {
            "table": str(cell["table"]),
            "caption": _CAPTIONS[cell["table"]],
            "row": row,
            "title": f"{cell['dataset']} (ours)" if ours else cell["dataset"],
            "method": cell["method"],
            "note": _OURS if ours else "",
        },
        "metric": {
            "name": "FID" if cell["metric"] == "FD" else cell["metric"],
            "features": cell["features"],
            "label": f"FD[{cell['features']}]" if cell["metric"] == "FD" else cell["metric"],
            **_METRICS[cell["metric"]],
        },
        "identity": {
            **{key: cell[key] for key in ("images", "seed", "checkpoint", "checkpoint_sha256")},
            **{key: cell[key] for key in ("data", "data_sha256", "features_sha256")},
            "protocol": protocol,
            "transform": transform or "native",
            "degradation": {"name": cell["degradation"], **settings},
            "start": {},
        },
        "conditions": {
            **{key: cell[key] for key in ("device", "dtype", "batch_size", "versions", "revision")},
            "processes": 1,
            "float32_only": _NO_BLUR if cell["degradation"] == "blur" else "",
        },
        "cost": {key: cell[key] for key in ("seconds", "network_seconds", "images_per_second")},
        "interval": None if cell["low"] is None else [cell["low"], cell["high"]],
        **{key: cell[key] for key in ("status", "reason", "value", "deviation", "warning")},
        "published": None
        if cell["published"] is None
        else {
            "value": cell["published"],
            "printed": f"{cell['published']:.{decimals}f}",
            "note": "" if ours else cell["note"],
            "source": "paper",
        },
        "differences": [],
        "request": {
            "command": "run",
            "table": str(cell["table"]),
            "row": row,
            "transform": transform,
            "settings": settings,
            "data": None,
        },
        "schema_version": 3,
    }


def _parsed(protocol: str) -> tuple[str, str | None, dict[str, Any]]:
    """The protocol's own name, the transform and the settings that were written behind it."""
    name, *changes = protocol.split("+")
    parts = dict(change.partition("=")[::2] for change in changes)
    transform = parts.pop("transform", None)
    return name, transform, {key: _plain(value) for key, value in parts.items()}


def _plain(text: str) -> Any:
    """A number, true or false as such, a word as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
