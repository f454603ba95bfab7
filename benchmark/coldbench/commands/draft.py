"""A row and a request with their names looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from coldbench.commands.request import Request
from coldbench.core.devices import choose_device
from coldbench.core.errors import BadInput
from coldbench.data.sources import ImageSource
from coldbench.diffusion.building import build_degradation, complete
from coldbench.diffusion.catalog import Entry, intended_entry, load_entries
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.registries import DEGRADATIONS
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.protocols import Protocol, find_protocol
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric, find_metrics
from coldbench.tables.tables import Row


@dataclass(frozen=True)
class Given:
    """Objects from Python in the place of names.

    Attributes:
        restore: R.
        degradation: D.
        source: the images.
        features: feature spaces.
        metrics: metrics.
    """

    restore: Restore | None = None
    degradation: Degradation | None = None
    source: ImageSource | None = None
    features: Sequence[FeatureSpace] | None = None
    metrics: Sequence[Metric] | None = None


#: Names alone.
NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class Draft:
    """A row and a request with their names looked up.

    Attributes:
        row, request, given: see ``coldbench.commands.plan.plan``.
        entry: the checkpoint; None where the restorer is the user's own.
        methods: names of samplers.
        metrics: all that were asked for.
        protocol: what the methods are.
        base: the settings of the degradation, before those of the protocol and of the request.
        device: where to compute.
    """

    row: Row
    request: Request
    given: Given
    entry: Entry | None
    methods: tuple[str, ...]
    metrics: Sequence[Metric]
    protocol: Protocol
    base: Mapping[str, Any]
    device: torch.device

    @property
    def start(self) -> Mapping[str, Any]:
        """What a generator starts from; empty for what restores."""
        return self.entry.start if self.entry else {}

    @property
    def settings(self) -> dict[str, Any]:
        """Of the degradation, as it is measured."""
        return {**self.base, **self.changes}

    @property
    def transform(self) -> str:
        """Of the images: the request's, or else the protocol's, the row's, or the checkpoint's."""
        own = self.row.transform or (self.entry.transform if self.entry else "native")
        return self.request.transform or self.protocol.transform or own

    @property
    def dataset(self) -> str:
        """The data set that feature spaces and training images are those of."""
        return self.entry.dataset if self.entry else self.row.dataset

    @property
    def changes(self) -> dict[str, Any]:
        """What the protocol and the request change of the settings."""
        return {**self.protocol.settings, **self.request.settings}

    def build(self) -> Degradation:
        """D, on the device.

        Raises:
            BadInput: settings are changed that a degradation made by the user does not tell of.
        """
        given = self.given.degradation
        if given is not None and not self.changes:
            return given.to(self.device)
        name = str(self.base.get("name"))
        if given is not None and ":" not in name and name not in DEGRADATIONS:
            raise BadInput(f"settings change a degradation that is known by name; {name} was given as it is")
        return build_degradation(self.settings).to(self.device)


def draft_of(row: Row, request: Request, given: Given) -> Draft:
    """Look up the names of a row and a request.

    Args:
        row, request, given: see ``coldbench.commands.plan.plan``.

    Raises:
        BadInput: an unknown name, or nothing says which degradation is undone.
    """
    entry = load_entries().get(row.checkpoint)
    if given.degradation is not None:
        base: Mapping[str, Any] = given.degradation.settings
    elif row.degradation is not None or entry is not None:
        base = row.degradation if row.degradation is not None else entry.degradation if entry else {}
    else:
        raise BadInput(f"{row.checkpoint} is no registered model: say which degradation it undoes")
    generates = entry is not None and bool(entry.start)
    if generates and request.protocol == "released":
        protocol = Protocol("released")  # Table 5 has none of the released code's differences
    else:
        dataset = entry.dataset if entry else row.dataset
        protocol = find_protocol(request.protocol, str(base.get("name")), dataset)
    return Draft(
        row=row,
        request=request,
        given=given,
        entry=entry,
        methods=row.methods,
        metrics=given.metrics if given.metrics is not None else find_metrics(request.metrics or row.metrics),
        protocol=protocol,
        base=base,
        device=choose_device(request.device),
    )


def unlike_its_table(draft: Draft) -> str:
    """Why the registered checkpoint is not what the table means by its name; nothing where it is."""
    if draft.entry is None or draft.row.degradation is not None:
        return ""
    name = draft.entry.name
    wanted, found = _described(intended_entry(name), draft.changes), _described(draft.entry, draft.changes)
    if wanted == found:
        return ""
    differences = [
        f"{key} {found.get(key, 'absent')} instead of {wanted.get(key, 'absent')}"
        for key in dict.fromkeys((*wanted, *found))
        if wanted.get(key) != found.get(key)
    ]
    return (
        f"{name} is registered with {', '.join(differences)}, so this is not what Table {draft.row.table} measures: "
        f"coldbench evaluate {name}, or import it under another name"
    )


def _described(entry: Entry, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a checkpoint that of its row: data set, transform, kind of start, and degradation."""
    facts = {"dataset": entry.dataset, "transform": entry.transform, "start": entry.start.get("name", "none")}
    return {**facts, **complete({**entry.degradation, **changes})}
