"""How far a number may move, by the arithmetic and the class of the device that it was computed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coldbench.records.record import Record

#: Arithmetics of fewer digits than float32, which are held to the tolerance of the one that has the fewest.
_AS_BFLOAT16 = ("tf32", "float32-then-tf32", "float16")


def arithmetic(record: Record) -> str:
    """dtype and class of device, as tolerances are given for."""
    return f"{record.conditions.dtype} {device_class(record.conditions.device)}"


def device_class(device: str) -> str:
    """``cpu`` or ``gpu``, of a device as it is stored with a number."""
    return "cpu" if device in ("cpu", "auto") else "gpu"


def tolerance(record: Record) -> float:
    """How far the number may be from that of another measurement in the same arithmetic.

    Raises:
        ValueError: nothing is known of this arithmetic.
    """
    known, own = record.metric.tolerances, arithmetic(record)
    dtype = "bfloat16" if record.conditions.dtype in _AS_BFLOAT16 else record.conditions.dtype
    found = known.get(own, known.get(f"{dtype} {device_class(record.conditions.device)}"))
    if found is None:
        raise ValueError(f"no tolerance of {record.metric.label} for {own}")
    return found
