"""Every block of code in README and manual does what the page says; see ``tests.manual`` for the rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldbench.records.record import load
from tests.manual import ROOT, PageError, Runner, blocks, pages

#: Pages that take more than ten seconds.
SLOW = {
    f"docs/{name}.md"
    for name in (
        "faq",
        "metrics",
        "performance",
        "processes",
        "report",
        "restore-and-score",
        "start",
        "sweep",
        "tables",
    )
}
NAMES = [path.relative_to(ROOT).as_posix() for path in pages()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, on the CPU; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in NAMES])
def test_the_blocks_of_a_page_do_what_it_says(name: str, folder: Path) -> None:
    run_page((ROOT / name).read_text(encoding="utf-8"), name, folder)


def run_page(text: str, name: str, folder: Path) -> None:
    runner = Runner(folder)
    for block in list(blocks(text, name)):
        runner.run(block)


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```\ncoldbench run\n```", "a block of '' is none of"),
        (fence("bash", "true"), "a block of 'bash' is none of"),
        (fence("{code-block} bash", "true"), "a block of '{code-block}' is none of"),
        (fence("{eval-rst}", ".. code-block:: bash"), "a block of '{eval-rst}' is none of"),
        ("````{note}\n" + fence("bash", "true") + "````", "page:2: a block of 'bash'"),
        ("- a list\n\n  " + fence("bash", "true").replace("\n", "\n  "), "page:3: a block of 'bash'"),
        ("Indented:\n\n    true\n", "indented code"),
        ("<!-- neds: data -->\n" + fence("python", "1"), "not understood"),
        ("<!-- needs: data -->\n\nNo block.\n", "followed by no block"),
        ("Text.\n\n<!-- file: a.py -->\n", "followed by no block"),
        (fence("python", "x = 1") + "\n" + fence("python", "assert x == 2"), "page:5: AssertionError"),
        ("<!-- needs: data -->\n" + fence("python", "x ="), "invalid syntax"),
        ("Use `coldbench\nlists` for it.", "no command 'lists'"),
        ("- `coldbench run --tables 3`", "has no option '--tables'"),
        (fence("text", "pip install -e . && coldbench runs --table 1"), "no command 'runs'"),
        (fence("yaml", "- run: coldbench check --junits a.xml"), "No such option"),
        ("<div>\n" + fence("python", "x =") + "</div>", "code in HTML"),
        ("<pre>coldbench runs</pre>", "code in HTML"),
        (fence("toml", "[a"), "page:1: "),
        (fence("json", "{1}"), "page:1: "),
        (fence("console", "coldbench list models"), "does not begin with '$ '"),
        (fence("console", "$ coldbench lists models"), "no command 'lists'"),
        ("<!-- needs: data -->\n" + fence("console", "$ coldbench run --table 3 --pages 5"), "No such option"),
        ("<!-- needs: data -->\n" + fence("console", "$ true && coldbench run --table"), "requires an argument"),
        ("<!-- needs: GPUs -->\n" + fence("console", "$ torchrun -m coldbench run --tables 3"), "No such option"),
        ("<!-- needs: Docker -->\n" + fence("console", "$ docker run --rm coldbench chek"), "no command 'chek'"),
        ("<!-- needs: time -->\n" + fence("console", "$ cd /tmp && bin/coldbench chek"), "no command 'chek'"),
        (fence("console", "$ coldbench show nothing.json"), "exit code 2, not 0"),
        (fence("console", "$ coldbench list models # exit 2"), "exit code 0, not 2"),
        (fence("console", "$ cat nothing"), "exit code 1, not 0"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(page: str, message: str, folder: Path) -> None:
    with pytest.raises(PageError, match=r"^page") as caught:
        run_page(page, "page", folder)
    assert message in str(caught.value)


def test_blocks_of_a_page_share_a_folder_and_names(folder: Path) -> None:
    page = [
        "<!-- file: deep/one.py -->\n" + fence("python", "raise SystemExit(3)"),
        fence("console", "$ python deep/one.py # exit 3\n$ coldbench list \\\n    models > models.txt"),
        fence("python", "from pathlib import Path\ntext = Path('models.txt').read_text()"),
        fence("python", "assert 'mnist-blur' in text\ncount = dict(count=1_000)['count']"),
        "<!-- needs: all of the data -->\n" + fence("python", "raise RuntimeError"),
        fence("python", "assert count == 16"),
    ]
    run_page("\n".join(page), "page", folder)


def test_what_measures_takes_few_images(folder: Path) -> None:
    page = fence("console", "$ coldbench run --table 3 --rows mnist --methods degraded --metrics RMSE")
    run_page(page, "page", folder)
    (record,) = load(folder / "results" / "run" / "table-3.json")
    assert record.identity.images == 16
