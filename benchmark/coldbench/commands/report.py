"""``coldbench report``: folders of records, with their pictures, as one page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from coldbench.core.errors import BadInput
from coldbench.core.files import write_text
from coldbench.core.paths import is_file
from coldbench.core.progress import tell
from coldbench.records.folder import record_files
from coldbench.records.record import Record, load
from coldbench.records.report.contents import Source
from coldbench.records.report.page import Trajectory, check_extras, render_report
from coldbench.records.report.pictures import Picture, read_picture
from coldbench.tables.tables import picture_stem, slug

#: What the page is called unless said otherwise, in the first of the folders.
NAME = "report.html"
#: Where pictures of rows are, and how the names of those of trajectories begin.
_PICTURES, _TRAJECTORY = "pictures", "trajectory-"


def report(folders: Sequence[Path], output: Path | None = None) -> Path:
    """Write a page of all that was measured in some folders; a picture that cannot be read is told, and left out.

    Args:
        folders: that run, evaluate, compare or sweep have written.
        output: the file; ``NAME`` in the first folder unless given.

    Returns:
        The file.

    Raises:
        BadInput: no folder, damaged records, or a file that cannot be written.
        Missing: a folder without records, or a package that the page is made with.
    """
    check_extras()
    folders = list(dict.fromkeys(folders))
    if not folders:
        raise BadInput("a report needs at least one folder")
    for folder in filter(is_file, folders):
        raise BadInput(f"{folder} is a file: name the folder that holds it")
    sources = [_source(folder, path) for folder in folders for path in record_files(folder)]
    trajectories = [each for folder in folders for each in _trajectories(folder)]
    path = output or folders[0] / NAME
    write_text(path, render_report(sources, trajectories))
    return path


def _source(folder: Path, path: Path) -> Source:
    """One file of records, with the pictures that the command wrote which measured them."""
    records = load(path)
    if not records:
        raise BadInput(f"{path} holds no record")
    stems = {(record.where.table, record.where.row): _stem(record) for record in records}
    pictures = {place: _read(folder / _PICTURES / f"{stem}.png") for place, stem in stems.items()}
    is_comparison = any(record.differences for record in records)
    return Source(
        folder=str(folder),
        name=path.name,
        written=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        records=records,
        picture=_read(path.with_suffix(".png")) if is_comparison else None,
        pictures={place: picture for place, picture in pictures.items() if picture},
    )


def _stem(record: Record) -> str:
    """The name of the picture of a record's row, as the command has it that measured the row."""
    where = record.where
    return slug(where.row) if record.request.get("command") == "sweep" else picture_stem(where.table, where.row)


def _read(path: Path) -> Picture | None:
    """A picture, if there is one that can be read."""
    if not is_file(path):
        return None
    try:
        return read_picture(path)
    except BadInput as error:
        tell(f"warning: {error}")
        return None


def _trajectories(folder: Path) -> list[Trajectory]:
    paths = sorted(path for part in (folder, folder / _PICTURES) for path in part.glob(f"{_TRAJECTORY}*.png"))
    found = [(path.stem.removeprefix(_TRAJECTORY), _read(path)) for path in paths]
    return [Trajectory(model, picture) for model, picture in found if picture]
