"""What the tables hold: the paper's numbers as printed, a user's own tables, and what is selected of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldbench.core.errors import BadInput
from coldbench.diffusion.catalog import load_entries
from coldbench.diffusion.samplers import DEGRADED_IMAGE, find_sampler
from coldbench.metrics.metric import find_metrics
from coldbench.tables.tables import PAPER, Row, find_tables, paper_tables, read_tables, select_rows

#: A table of somebody's own, complete.
MINE = """
[tables.mine]
caption = "Deblurring of faces"
methods = ["degraded", "my_module:sampler"]
metrics = ["PSNR", "FID"]
source = "Smith 2024"

[[tables.mine.rows]]
dataset = "folder:faces"
checkpoint = "my_module:restore"
degradation = { name = "blur", image_size = 64, timesteps = 20 }
channels = 3
published = { degraded = { PSNR = "27.310", FID = 12 } }
notes = { degraded = { PSNR = "of 8-bit images" } }

[[tables.mine.rows]]
name = "digits"
title = "Digits"
dataset = "mnist"
checkpoint = "mnist-blur"
methods = ["direct"]
metrics = ["SSIM"]
transform = "zoom"
note = "for comparison"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_the_paper_has_five_tables() -> None:
    assert list(paper_tables()) == ["1", "2", "3", "4", "5"]
    assert [len(table.rows) for table in paper_tables().values()] == [3, 3, 3, 3, 6]


def test_every_row_has_its_registry_entry_and_methods_that_fit_it() -> None:
    entries = load_entries()
    for row in select_rows("all"):
        entry = entries[row.checkpoint]
        assert entry.dataset == row.dataset
        start = entry.start.get("name", DEGRADED_IMAGE)
        assert all(find_sampler(method).serves(start) for method in row.methods)
        assert [metric.name for metric in find_metrics(row.metrics)] == list(row.metrics)


def test_every_published_number_has_a_cell() -> None:
    for row in select_rows("all"):
        assert {method for method, _ in row.published} <= set(row.methods)
        assert {metric for _, metric in row.published} <= set(row.metrics)
    assert {(row.table, row.dataset) for row in select_rows("all") if not row.published} == {
        ("4", "mnist"),
        ("5", "mnist"),
    }
    assert all(row.note == "ours, not in the paper" for row in select_rows("all") if not row.published)


def test_there_are_as_many_published_numbers_as_the_paper_prints() -> None:
    counts = {name: sum(len(row.published) for row in table.rows) for name, table in paper_tables().items()}
    assert counts == {"1": 27, "2": 27, "3": 27, "4": 12, "5": 8}
    values = [each.value for row in select_rows("all") for each in row.published.values()]
    assert round(sum(values), 3) == 4316.434
    assert {each.source for row in select_rows("all") for each in row.published.values()} == {"paper"}


@pytest.mark.parametrize(
    ("table", "row", "method", "metric", "printed"),
    [
        ("1", "mnist", "degraded", "SSIM", "0.287"),
        ("1", "mnist", "direct", "FID", "5.10"),
        ("1", "celeba", "degraded", "SSIM", "0.254"),
        ("1", "celeba", "sampled", "FID", "26.14"),
        ("2", "mnist", "sampled", "RMSE", "0.068"),
        ("2", "cifar10", "degraded", "SSIM", "0.615"),
        ("3", "mnist", "sampled", "SSIM", "0.820"),
        ("3", "cifar10", "direct", "FID", "169.94"),
        ("4", "celeba", "degraded", "SSIM", "0.338"),
        ("4", "celeba", "degraded", "RMSE", "0.283"),
        ("4", "celeba", "sampled", "RMSE", "0.907"),
        ("5", "celeba-blur-generate", "perfect-symmetry", "FID", "97.00"),
        ("5", "afhq-noise", "estimated-noise", "FID", "20.59"),
    ],
)
def test_published_numbers_are_verbatim(table: str, row: str, method: str, metric: str, printed: str) -> None:
    (found,) = [each for each in paper_tables()[table].rows if each.name == row]
    assert found.published[method, metric].printed == printed
    assert found.published[method, metric].value == float(printed)


def test_every_printed_number_has_the_decimals_of_the_paper() -> None:
    for row in select_rows("all"):
        for (_, metric), each in row.published.items():
            assert len(each.printed.partition(".")[2]) == (2 if metric == "FID" else 3), each


def test_table_4_keeps_its_swapped_columns_and_says_so() -> None:
    (row,) = select_rows("4", ["cifar10"])
    assert (row.published["sampled", "SSIM"].value, row.published["sampled", "RMSE"].value) == (0.074, 0.838)
    assert "swapped" in row.published["sampled", "SSIM"].note
    assert row.published["degraded", "SSIM"].note == ""
    (celeba,) = select_rows("4", ["celeba"])
    assert (celeba.published["degraded", "SSIM"].value, celeba.published["degraded", "RMSE"].value) == (0.338, 0.283)
    assert "swapped" in celeba.published["degraded", "RMSE"].note


def test_misprints_are_noted_where_they_are_and_nowhere_else() -> None:
    noted = {
        (row.table, row.name, method, metric)
        for row in select_rows("all")
        for (method, metric), each in row.published.items()
        if each.note
    }
    assert noted == {
        ("1", "mnist", "degraded", "SSIM"),
        *((table, "celeba", "degraded", metric) for table in ("1", "4") for metric in ("SSIM", "RMSE")),
        *(("4", row, "sampled", metric) for row in ("cifar10", "celeba") for metric in ("SSIM", "RMSE")),
    }


def names(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.table, row.name) for row in rows]


def test_selection() -> None:
    assert names(select_rows("5", ["mnist"], ["broken-symmetry"])) == [("5", "mnist-blur-generate")]
    assert names(select_rows("5", ["celeba-noise"])) == [("5", "celeba-noise")]
    assert names(select_rows("all", ["cifar10"], ["direct"])) == [(table, "cifar10") for table in "1234"]
    assert names(select_rows("1", ["celeba", "mnist"])) == [("1", "mnist"), ("1", "celeba")], "the table's order"


def test_methods_come_in_the_order_of_the_row_and_those_from_outside_behind() -> None:
    (row,) = select_rows("1", ["mnist"], ["my_module:sampler", "direct", "degraded"])
    assert row.methods == ("degraded", "direct", "my_module:sampler")
    assert {row.methods for row in select_rows("1")} == {("degraded", "sampled", "direct")}


@pytest.mark.parametrize(
    ("table", "rows", "methods", "message"),
    [
        ("6", (), (), r"unknown table '6'; known: 1, 2, 3, 4, 5, all, or the path of a \.toml file"),
        ("1", ("afhq",), (), "table 1 has no row 'afhq'"),
        ("5", ("cifar10",), (), "table 5 has no row 'cifar10'"),
        ("5", ("celeba-nose",), (), "did you mean celeba-noise"),
        ("all", (), ("smapled",), "did you mean sampled"),
        ("5", ("celeba-noise",), ("broken-symmetry",), "table 5 has no such row: celeba-noise, broken-symmetry"),
        ("nowhere.toml", (), (), r"tables nowhere\.toml cannot be read: No such file"),
    ],
)
def test_bad_selections(table: str, rows: tuple[str, ...], methods: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        select_rows(table, rows, methods)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    (table,) = read_tables(written(tmp_path, MINE)).values()
    faces, digits = table.rows
    assert (table.name, table.caption, table.methods) == (
        "mine",
        "Deblurring of faces",
        ("degraded", "my_module:sampler", "direct"),
    )
    assert (faces.table, faces.name, faces.title, faces.stem) == (
        "mine",
        "folder-faces",
        "folder:faces",
        "table-mine-folder-faces",
    )
    assert (faces.methods, faces.metrics) == (("degraded", "my_module:sampler"), ("PSNR", "FID"))
    assert faces.degradation == {"name": "blur", "image_size": 64, "timesteps": 20}
    assert (faces.channels, faces.transform, faces.note) == (3, None, "")
    assert (digits.name, digits.title, digits.methods, digits.metrics) == ("digits", "Digits", ("direct",), ("SSIM",))
    assert (digits.degradation, digits.transform, digits.note) == (None, "zoom", "for comparison")


def test_published_numbers_of_another_source(tmp_path: Path) -> None:
    (row, other) = select_rows(str(written(tmp_path, MINE)))
    printed = row.published["degraded", "PSNR"]
    assert (printed.value, printed.printed, printed.note, printed.source) == (
        27.31,
        "27.310",
        "of 8-bit images",
        "Smith 2024",
    )
    assert row.published["degraded", "FID"].printed == "12"
    assert not other.published


def test_rows_of_ones_own_are_selected_as_the_papers_are(tmp_path: Path) -> None:
    path = str(written(tmp_path, MINE))
    assert [row.name for row in select_rows(path, ["digits"])] == ["digits"]
    assert [row.name for row in select_rows(path, ["folder:faces"])] == ["folder-faces"]
    assert [row.methods for row in select_rows(path, (), ["direct"])] == [("direct",)]
    assert [table.name for table in find_tables(path)] == ["mine"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[tables.mine]", "[mine]", "it must hold .tables.NAME., and nothing else"),
        ("[tables.mine]", "x = 1\n[tables.mine]", "it must hold .tables.NAME., and nothing else"),
        ("[tables.mine]", "[tables.mine", "cannot be read: "),
        ('caption = "Deblurring of faces"', "", "table mine lacks 'caption'"),
        ('caption = "Deblurring of faces"', "caption = 3", "table mine: 'caption' must be a string"),
        ("source =", "sorce =", "table mine has an unknown key 'sorce'; did you mean source"),
        ('source = "Smith 2024"', "source = 3", "table mine: 'source' must be a string"),
        ('["PSNR", "FID"]', '"PSNR"', "table mine: 'metrics' must be a list"),
        ('["PSNR", "FID"]', '["PSNR", 3]', "table mine, row 1: 'metrics' must be a list of names"),
        ('metrics = ["PSNR", "FID"]', "", "table mine, row 1: 'metrics' must be a list of names"),
        ('methods = ["direct"]', "methods = []", "table mine, row 2: 'methods' must be a list of names"),
        ('dataset = "mnist"', "", "table mine, row 2 lacks 'dataset'"),
        ('checkpoint = "mnist-blur"', "", "table mine, row 2 lacks 'checkpoint'"),
        ('dataset = "mnist"', "dataset = 3", "table mine, row 2: 'dataset' must be a string"),
        ('title = "Digits"', 'titel = "Digits"', "table mine, row 2 has an unknown key 'titel'; did you mean title"),
        ("channels = 3", "channels = true", "table mine, row 1: 'channels' must be a whole number"),
        ("channels = 3", "channels = 1.5", "table mine, row 1: 'channels' must be a whole number"),
        ('{ name = "blur", ', "{ ", "table mine, row 1: 'degradation' lacks its 'name'"),
        ('{ name = "blur", image_size = 64, timesteps = 20 }', '"blur"', "'degradation' must be a table"),
        ('"27.310"', '"many"', r"row 1: 'published\.degraded\.PSNR' must be a number"),
        ('"27.310"', '"nan"', r"row 1: 'published\.degraded\.PSNR' must be a number"),
        ('"27.310"', "true", r"row 1: 'published\.degraded\.PSNR' must be a number"),
        ('{ PSNR = "27.310", FID = 12 }', "3", r"row 1: 'published\.degraded"),
        ('"of 8-bit images"', "3", r"row 1: 'published\.degraded\.PSNR' must be a number, and its note a string"),
        ('{ PSNR = "of 8-bit images" }', "3", r"row 1: 'published\.degraded\.PSNR' must be a number, and its note"),
        ('name = "digits"', 'name = "folder-faces"', "table mine: it needs rows, each with a 'name' of its own"),
        ("tables.mine", 'tables."my table"', "its name becomes that of a file"),
        ('dataset = "mnist"', 'dataset = "mnits"', "table mine, row 2: unknown dataset 'mnits'; did you mean mnist"),
        ('"mnist-blur"', '"mnist-blr"', "table mine, row 2: unknown checkpoint 'mnist-blr'; did you mean mnist-blur"),
        ('name = "blur"', 'name = "blurr"', "table mine, row 1: unknown degradation 'blurr'; did you mean blur"),
        ('["direct"]', '["drect"]', "table mine, row 2: unknown method 'drect'; did you mean direct"),
        ('["PSNR", "FID"]', '["PSRN", "FID"]', "table mine, row 1: unknown metric 'PSRN'; did you mean PSNR"),
    ],
)
def test_a_bad_table_is_told_in_one_line_that_names_the_place(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    assert before in MINE
    path = written(tmp_path, MINE.replace(before, after))
    with pytest.raises(BadInput, match=message) as caught:
        read_tables(path)
    assert str(caught.value).startswith(f"tables {path}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_number_may_be_published_of_a_metric_from_outside(tmp_path: Path) -> None:
    """What it is called is not known before it is loaded."""
    text = MINE.replace('"PSNR", "FID"', '"my_module:sharpness"').replace('PSNR = "27.310", FID = 12', "Sharpness = 1")
    (row, _) = select_rows(str(written(tmp_path, text)))
    assert row.published["degraded", "Sharpness"].value == 1


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="it needs rows"):
        read_tables(written(tmp_path, '[tables.mine]\ncaption = ""\nrows = []\n'))


@pytest.mark.parametrize("name", ["../up", "a/b", ""])
def test_names_that_would_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="its name"):
        read_tables(written(tmp_path, MINE.replace('name = "digits"', f'name = "{name}"')))
    with pytest.raises(BadInput, match="its name"):
        read_tables(written(tmp_path, MINE.replace("tables.mine", f'tables."{name}"')))


@pytest.mark.parametrize(
    ("before", "after"), [('PSNR = "27.310"', 'SSMI = "0.5"'), ("degraded = { PSNR =", "smapled = { PSNR =")]
)
def test_a_published_number_without_a_cell_is_refused(before: str, after: str, tmp_path: Path) -> None:
    """It would be shown nowhere, and nobody would know."""
    assert before in MINE
    with pytest.raises(BadInput, match=r"table mine, row 1: 'published\..*' has no cell among its methods and metrics"):
        read_tables(written(tmp_path, MINE.replace(before, after, 1)))


def test_no_table_of_one_s_own_takes_the_name_of_the_paper_s(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PAPER.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BadInput, match="table 1 has the name of a table of the paper"):
        find_tables(str(path))


def test_samplers_that_a_table_lacks_are_added() -> None:
    (row,) = select_rows("3", ["mnist"], ["naive", "direct"])
    assert row.methods == ("direct", "naive")
