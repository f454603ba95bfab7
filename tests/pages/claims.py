"""What the stored records say, as passages of Markdown: ``python -m tests.pages.claims orders`` prints one of them.

Whatever may turn over when a table is measured again is said here and nowhere else, so that no page can claim it
against the numbers.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from coldbench.metrics.metric import METRICS, find_metrics
from coldbench.records.formats import method_title, print_number
from coldbench.records.ranking import Number, Standing, standing
from coldbench.records.record import Record, load, to_json
from coldbench.records.report.judgement import Judgement, judge
from coldbench.tables.tables import paper_tables
from tests.pages.blocks import ROOT

RESULTS = ROOT / "results"
#: Metrics that need no feature space.
PAIRS = ("SSIM", "RMSE")
#: Data set -> the folder, in results, of the records of Tables 1-4.
FOLDERS = {"mnist": "reference/full", "cifar10": "cifar10", "celeba": "celeba"}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its cells as they are."""
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True)


def cells(path: Path, *methods: str) -> list[Record]:
    """The measured records of some methods, or of all."""
    return [record for record in load(path) if record.measured and (not methods or record.where.method in methods)]


def find(records: Iterable[Record], method: str, name: str) -> Record:
    """The record of a method and metric; of a distance, in whatever feature space it was measured."""
    return next(each for each in records if (each.where.method, each.metric.name) == (method, name))


def agrees(record: Record) -> bool:
    """Whether our 95 % interval includes the published number, as the report judges it."""
    return judge(record) == Judgement.WITHIN


def published_cells(*methods: str) -> list[Record]:
    """The numbers of Tables 1-4 that the paper prints as well, of metrics that need no feature space."""
    found = []
    for folder in FOLDERS.values():
        for path in sorted((RESULTS / folder).glob("table-[1-4].json")):
            found += [each for each in cells(path, *methods) if each.published and each.metric.name in PAIRS]
    return found


def degraded() -> str:
    """The cells that need no network, beside the paper's."""
    rows = []
    for each in sorted(published_cells("degraded"), key=lambda record: record.where.table):
        verdict = "yes" if agrees(each) else "**no**"
        rows.append((*_cell(each), verdict, each.published.note if each.published else ""))
    heads = ("Table", "Data", "Metric", "N", "Here", "Paper", "Agree?", "What is known of the paper's number")
    return table(heads, rows)


def _cell(each: Record) -> tuple[str, ...]:
    assert each.published is not None
    number = print_number(each.value or 0.0, each.interval, each.metric.decimals)
    where, metric = each.where, each.metric.label
    return where.table, where.title, metric, f"{each.identity.images:,}", number, each.published.printed


def agreement() -> str:
    """Where our numbers agree with the paper's, and where they do not, counted."""
    found = published_cells("degraded")
    agree = [each for each in found if agrees(each)]
    noted = [each for each in found if each not in agree and each.published and each.published.note]
    off = len(found) - len(agree)
    verdicts = [verdict for *_, verdict in (*_restored_orders(), *_generated_orders())]
    same, opposite, open_ = (verdicts.count(each) for each in ("yes", "**no**", "open"))
    lines = (
        f"- **Degraded images** need no network. Of {len(found)} published SSIM and RMSE, {len(agree)} lie in our 95 % "
        f"interval, and {off} do not. Of these, {len(noted)} are misprints, or seem to be of other images than the "
        "paper says.",
        f"- **Restored images.** {networks()}",
        f"- **Which method is better.** Of {len(verdicts)} orders in the paper's tables, we find {same}, find the "
        f"opposite of {opposite}, and cannot tell {open_}.",
    )
    return "\n".join(lines)


def networks() -> str:
    """How the restored cells of each data set stand to the paper's, counted."""
    printed = published_cells("sampled", "direct")
    rows = dict.fromkeys(each.where.row for each in printed)
    return " ".join(_restored([each for each in printed if each.where.row == row]) for row in rows)


def _restored(printed: Sequence[Record]) -> str:
    """The same of one data set; what is known to be misprinted is only counted."""
    found = [each for each in printed if each.published and not each.published.note]
    same = [each for each in found if agrees(each)]
    better = [each for each in found if judge(each) == Judgement.BETTER]
    worse = len(found) - len(same) - len(better)
    misprints = len(printed) - len(found)
    return (
        f"Of the {len(found)} published SSIM and RMSE of Sampled and Direct on {found[0].where.title}"
        f"{f' ({misprints} misprinted ones left out)' if misprints else ''}, the shipped "
        f"networks are worse in {worse}, better in {len(better)}, and not distinguishable in {len(same)}."
    )


def orders() -> str:
    """Which of Sampled and Direct is better, in the paper and here, and the two halves of Table 5."""
    heads = ("Table", "Metric", "Better in the paper", "Better here", "Agree?")
    return table(heads, [*_restored_orders(), *_generated_orders()])


def _restored_orders() -> list[tuple[str, ...]]:
    rows = []
    for number, (data, folder) in itertools.product("123", FOLDERS.items()):
        records = cells(RESULTS / folder / f"table-{number}.json", "sampled", "direct")
        if not records:
            continue
        paper = next(row for row in paper_tables()[number].rows if row.dataset == data)
        for name in ("FID", *PAIRS):
            a, b = (find(records, method, name) for method in ("sampled", "direct"))
            printed = [paper.published[method, name].value for method in ("sampled", "direct")]
            theirs = min(a, b, key=lambda each: _order(each, printed[each is b])).where.method
            rows.append(_line(f"{number}, {paper.title}", a, theirs, _winner(a, b)))
    return rows


def _generated_orders() -> list[tuple[str, ...]]:
    records = cells(RESULTS / "reference" / "full" / "table-5.json")
    pairs = [("fixed-noise", "estimated-noise"), ("perfect-symmetry", "broken-symmetry")]
    pairs.append(("broken-symmetry", "estimated-noise"))
    rows = []
    for a, b in pairs:
        first, second = find(records, a, "FID"), find(records, b, "FID")
        theirs = {_paper_s_better(a, b, dataset) for dataset in ("celeba", "afhq")}
        winner = theirs.pop() if len(theirs) == 1 else "not the same on CelebA and AFHQ"
        rows.append(_line("5, " + _both(a, b), first, winner, _winner(first, second)))
    return rows


def _both(a: str, b: str) -> str:
    return f"{method_title(a)} against {method_title(b)}"


def _paper_s_better(a: str, b: str, dataset: str) -> str:
    rows = [row for row in paper_tables()["5"].rows if row.dataset == dataset]
    printed = {key[0]: number.value for row in rows for key, number in row.published.items()}
    return min(a, b, key=lambda method: printed[method])


def _order(each: Record, value: float) -> float:
    return -value if each.metric.better == "higher" else value


def _winner(a: Record, b: Record) -> str:
    """Which is better; nothing where the interval of their difference, as of independent numbers, includes zero."""
    assert a.value is not None
    assert b.value is not None
    best, other = sorted((a, b), key=lambda each: _order(each, each.value or 0.0))
    apart = standing(Number(other.value or 0.0, other.interval), Number(best.value or 0.0, best.interval))
    return best.where.method if apart == Standing.WORSE else ""


def _line(where: str, record: Record, theirs: str, ours: str) -> tuple[str, ...]:
    name = record.metric.name
    metric = name if name == record.metric.label else f"{name}; here {record.metric.label}"
    agree = "yes" if theirs == ours else "**no**" if ours else "open"
    return where, metric, method_title(theirs), method_title(ours) if ours else "not distinguishable", agree


def sweep() -> str:
    """What more steps do to each metric, for the model of the stored sweep."""
    records = cells(RESULTS / "tables" / "sweep" / "mnist-blur.json")
    lines = []
    for label in dict.fromkeys(each.metric.label for each in records):
        found = [each for each in records if each.metric.label == label]
        lines.append(_swept(label, sorted(found, key=_steps)))
    return "\n".join(lines)


def _steps(each: Record) -> int:
    return int(each.where.method.partition("@")[2])


def _swept(label: str, found: Sequence[Record]) -> str:
    best = min(found, key=lambda each: _order(each, each.value or 0.0))
    first, last = found[0], found[-1]
    change = f"from {_number(first)} with 1 step to {_number(last)} with all {_steps(last)}"
    tied = [_steps(each) for each in found if each is not best and not _winner(best, each)]
    close = f"; {_listed(tied)} cannot be told from it by the intervals" if tied else ""
    return f"- **{label}** goes {change}. It is best with {_counted(_steps(best))}{close}."


def _number(each: Record) -> str:
    return print_number(each.value or 0.0, None, each.metric.decimals)


def _counted(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"


def _listed(numbers: Sequence[int]) -> str:
    *most, last = numbers
    return f"{', '.join(map(str, most))} and {last} steps" if most else _counted(last)


def performance() -> str:
    """What measuring costs beyond the network, from the stored report."""
    report = (RESULTS / "performance" / "performance.md").read_text(encoding="utf-8")
    begin = report.index("| Case")
    return report[begin : report.index("\n\n", begin)]


def tolerances() -> str:
    """How far each metric may move in ``coldbench check``, by arithmetic."""
    columns = ("float32 cpu", "float32 gpu", "bfloat16 cpu")
    rows: dict[tuple[str, ...], list[str]] = {}
    for metric in find_metrics(list(METRICS)):
        limits = tuple(f"{metric.tolerances[column]:g}" for column in columns)
        rows.setdefault((*limits, "relative" if metric.relative else "absolute"), []).append(metric.name)
    heads = ("Metric", "float32 on a CPU", "float32 on a GPU", "arithmetics of fewer digits", "Kind")
    return table(heads, [(", ".join(names), *limits) for limits, names in rows.items()])


def coverage() -> str:
    """The simulated coverage of intervals, as its file holds it."""
    return (RESULTS / "tables" / "coverage.md").read_text(encoding="utf-8")


def published() -> str:
    """All numbers of the paper's five tables, as printed, with what is known to be wrong with them."""
    return "\n\n".join(_published(name) for name in paper_tables())


def _published(name: str) -> str:
    found = paper_tables()[name]
    rows, notes = [], []
    for row in found.rows:
        metrics = row.metrics
        for method in dict.fromkeys(method for method, _ in row.published):
            printed = [row.published.get((method, metric)) for metric in metrics]
            marked = [f"{each.printed}{'*' if each.note else ''}" if each else "-" for each in printed]
            rows.append((row.title, method_title(method), *marked))
            here = f"{row.title}, {method_title(method)}"
            notes += [
                f"- {here}, {m}: {each.note}" for m, each in zip(metrics, printed, strict=True) if each and each.note
            ]
    heads = ("Data", "Method", *found.rows[0].metrics)
    return f"**Table {name}: {found.caption}**\n\n" + "\n".join([table(heads, rows), *(["", *notes] if notes else [])])


def record() -> str:
    """One record, as its file holds it."""
    path = RESULTS / "reference" / "full" / "table-3.json"
    found = [each for each in cells(path, "sampled") if each.metric.name == "SSIM"]
    return f"```json\n{to_json(found).strip().removeprefix('[').removesuffix(']').strip()}\n```"


def parameters() -> str:
    """How large the shipped networks are."""
    counts = [_parameters(path) for path in (ROOT / "models").glob("*.safetensors") if path.stem != "mnist-cnn"]
    low, high = (f"{count / 1e6:.1f}" for count in (min(counts), max(counts)))
    return (
        f"The shipped networks have {low} to {high} million parameters; the paper's have 35.7 million for CIFAR-10 in "
        "Tables 1 to 3, and 56.6 million for everything else."
    )


def _parameters(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")


PASSAGES: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (
        agreement,
        coverage,
        degraded,
        networks,
        published,
        orders,
        sweep,
        performance,
        tolerances,
        record,
        parameters,
    )
}


if __name__ == "__main__":
    print(PASSAGES[sys.argv[1]]())
