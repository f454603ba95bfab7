"""How a measured number stands to the published one."""

from __future__ import annotations

from enum import StrEnum

from coldbench.records.record import DEGRADED, Record


class Judgement(StrEnum):
    """What the 95 % interval of a number says of the published one, in the words of the page."""

    WITHIN = "agrees"
    BETTER = "better"
    WORSE = "worse"
    DIFFERS = "differs"
    NO_INTERVAL = "no interval"
    OTHER_SETTINGS = "other settings"
    UNPUBLISHED = "not published"
    MISSING = "missing"


#: Those of an interval that excludes the published number; these alone are coloured.
EXCLUDED = (Judgement.BETTER, Judgement.WORSE, Judgement.DIFFERS)
#: What each means, for the legend.
MEANINGS = {
    Judgement.WITHIN: "the 95 % interval of our number includes the published one",
    Judgement.BETTER: "the interval excludes the published number, and ours is better",
    Judgement.WORSE: "the interval excludes the published number, and ours is worse",
    Judgement.DIFFERS: "the interval excludes the published number, and neither is better: the images are the degraded "
    "ones, which no network has seen, or there is reason to doubt what is printed (*)",
    Judgement.NO_INTERVAL: "there is no interval, so nothing is claimed",
    Judgement.OTHER_SETTINGS: "the row was measured with other settings than the published one (†)",
    Judgement.UNPUBLISHED: "there is no published number to compare with",
    Judgement.MISSING: "there is no number of ours; the reason and the command that supplies it are under “What is "
    "missing”",
}


def judge(record: Record) -> Judgement:
    """How a number stands to the published one."""
    if record.value is None or record.published is None:
        return Judgement.UNPUBLISHED if record.measured else Judgement.MISSING
    if record.changes or record.interval is None:
        return Judgement.OTHER_SETTINGS if record.changes else Judgement.NO_INTERVAL
    if record.interval[0] <= record.published.value <= record.interval[1]:
        return Judgement.WITHIN
    if record.where.method == DEGRADED or record.published.note:
        return Judgement.DIFFERS
    higher = record.value > record.published.value
    return Judgement.BETTER if higher == (record.metric.better == "higher") else Judgement.WORSE


def difference(record: Record) -> float | None:
    """The number minus the published one; None where either is absent."""
    if record.value is None or record.published is None:
        return None
    return record.value - record.published.value
