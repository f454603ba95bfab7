"""``coldbench restore``: images that are degraded already, restored and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from coldbench.commands.draft import NOTHING_GIVEN, Draft, draft_of
from coldbench.commands.evaluate import evaluated_row
from coldbench.commands.output import shared_claim
from coldbench.commands.request import Request
from coldbench.commands.restorers import restorer_of
from coldbench.core.devices import device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.core.provenance import code_digest, versions
from coldbench.data.float_images import FloatImages, listed, open_images, shape_of_all, sized
from coldbench.diffusion.catalog import load_entries
from coldbench.diffusion.degradations.part import Part
from coldbench.diffusion.samplers import DEGRADED_IMAGE, Sampler, find_sampler
from coldbench.evaluation.details import SavedImages
from coldbench.evaluation.given_images import GivenDegraded, Read, restore_given
from coldbench.evaluation.shares import still_to_do
from coldbench.records.pictures import GALLERY, save_picture

#: What restores unless said otherwise.
METHODS = ("sampled",)
#: In the output folder, the first images before and after.
CONTACT_SHEET = "contact-sheet.png"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is to be restored, and by what.

    Attributes:
        images: a folder, an .npz archive or a file; see ``coldbench.data.float_images.open_images``.
        model: a model of the registry, the name of a plug-in, or ``module:attribute``.
        degradation: what the images have undergone; the model's own unless given.
        severity: how much of it, 1..T; T unless given.
        context: what was random about each image, in files of the same names, or one file for all of them.
        trajectory: whether every step is saved, too.
    """

    images: Path
    model: str
    degradation: str | None = None
    severity: int | None = None
    context: Path | None = None
    trajectory: bool = False


def restore(given: Given, request: Request, output: Path) -> list[Path]:
    """Restore images by each method, and save what comes out under their own names.

    What is in the output folder already, of the same images, model and settings, is not made again.

    Args:
        given: what is to be restored.
        request: its ``methods``, ``images``, ``settings``, ``seed`` and ``save_format``, and where to compute.
        output: the folder: METHOD/NAME.png or .npy, and a contact sheet.

    Returns:
        The folder of each method.

    Raises:
        BadInput: images, context, model or severity that do not fit.
        Missing: weights or a device are absent.
    """
    if request.dtype == "auto":
        raise BadInput("--dtype auto compares with originals, and there are none here: name the arithmetic")
    if output.resolve().is_relative_to(given.images.resolve()):
        raise BadInput(
            f"{output} lies in {given.images}, and would be taken for images to restore: choose another folder"
        )
    images = open_images(given.images)
    if request.images is not None:
        images = images.chosen(images.names[: request.images])
    draft = draft_of(_row(given, request), request, NOTHING_GIVEN)
    degradation = Part(draft.build(), given.severity)
    samplers = {method: _sampler(method, draft) for method in draft.methods}
    read = _fitting(images, draft, degradation)
    context = _context(given, images, degradation)
    restore, sha256, missing = restorer_of(draft, [name for name, each in samplers.items() if each.uses_network])
    for reason in missing.values():
        raise Missing(reason)
    task = GivenDegraded(
        images=read,
        context=None if context is None else context.batch,
        degradation=degradation,
        restore=restore,
        samplers=samplers,
        seed=request.seed,
        batch_size=request.images_at_a_time(getattr(restore, "chunk", 1)),
        device=draft.device,
    )
    saved = SavedImages(output, request.save_format, draft.methods, images.names.__getitem__)
    with shared_claim(output, fresh=request.fresh):
        saved.begin(_identity(given, draft, degradation, sha256, images, context))
        _restore_missing(task, saved, len(images.names), request, trajectory=given.trajectory)
        pictures = {method: saved.first(method, GALLERY, len(images.names)) for method in draft.methods}
        shown = read(range(min(GALLERY, len(images.names))))
        save_picture({"given": shown, **pictures}, output / CONTACT_SHEET)
    return [output / method for method in draft.methods]


def _row(given: Given, request: Request) -> Any:
    """The row that the model makes; its images are those that are given."""
    known = given.model in load_entries()
    asked = replace(request, data=None if known else f"folder:{given.images}", methods=request.methods or METHODS)
    return evaluated_row(given.model, given.degradation, asked, "restore")


def _sampler(method: str, draft: Draft) -> Sampler:
    """A method that begins with a degraded image, or with what the model begins with.

    Raises:
        BadInput: there is none of this name, or it begins with something else.
    """
    sampler = find_sampler(method)
    if not (sampler.serves(DEGRADED_IMAGE) or sampler.serves(draft.start.get("name", DEGRADED_IMAGE))):
        raise BadInput(f"{method} starts from {sampler.start}, not from a degraded image: it restores nothing")
    return sampler


def _fitting(images: FloatImages, draft: Draft, degradation: Part) -> Read:
    """What reads the images as the network takes them: grey ones as colour, never colour as grey.

    Raises:
        BadInput: their size or their channels do not fit.
    """
    channels, height, width = shape_of_all(images)
    side = degradation.image_size
    if (height, width) != (side, side):
        raise BadInput(
            f"{images.name} has images of {height}x{width} pixels, and {draft.row.checkpoint} restores {side}x{side}: "
            "degraded images cannot be resized; a model that takes any size is told it by --set image_size"
        )
    wanted = draft.entry.channels if draft.entry else channels
    if channels not in (1, wanted):
        raise BadInput(f"{images.name} has images of {channels} channels, and {draft.row.checkpoint} takes {wanted}")
    return lambda positions: images.batch(positions).expand(-1, wanted, -1, -1)


def _context(given: Given, images: FloatImages, degradation: Part) -> FloatImages | None:
    """What was random about the images, in their order.

    Raises:
        BadInput: it does not fit, or the degradation has none.
    """
    if given.context is None:
        return None
    what, wanted = degradation.context_name, degradation.context_shape
    if wanted is None:
        raise BadInput(
            f"nothing is random about images of this {degradation.settings.get('name')}: leave out --context"
        )
    found = open_images(given.context)
    if len(found.names) == 1 and given.context.is_file():
        one = found.read(0)
        found = replace(found, names=images.names, read=lambda index: one)
    lacking = [name for name in images.names if name not in set(found.names)]
    if lacking:
        raise BadInput(f"{found.name} has no {what} of {listed(lacking)}: files pair by their names")
    found = found.chosen(images.names)
    shape = shape_of_all(found)
    if shape != wanted:
        raise BadInput(f"the {what} of an image is {sized(wanted)}, and {found.name} has {sized(shape)}")
    return found


def _identity(
    given: Given,
    draft: Draft,
    degradation: Part,
    sha256: str | None,
    images: FloatImages,
    context: FloatImages | None,
) -> Mapping[str, Any]:
    """Everything that the restored images depend on, but for the methods: each has a folder of its own."""
    request = draft.request
    return {
        "model": given.model,
        "checkpoint_sha256": sha256,
        "degradation": degradation.settings,
        "severity": degradation.timesteps,
        "images_sha256": images.digest,
        "context_sha256": context and context.digest,
        "trajectory": given.trajectory,
        "seed": request.seed,
        "format": request.save_format,
        "dtype": request.arithmetic,
        "device": device_name(draft.device),
        "versions": versions(),
        "code": code_digest(),
    }


def _restore_missing(
    task: GivenDegraded, saved: SavedImages, count: int, request: Request, *, trajectory: bool
) -> None:
    """Restore what is not there yet; everything, where it is to begin anew."""
    missing = range(count) if request.fresh else saved.missing(range(count))
    todo = _runs(missing, count)
    with tqdm(total=count, desc="Restoring", unit="img", disable=request.quiet) as bar:
        bar.update(count - len(missing))
        restore_given(task, todo, saved, trajectory=trajectory, watch=lambda images: bar.update(images) and None)


def _runs(positions: Sequence[int], count: int) -> list[range]:
    """Positions as runs of neighbours."""
    there = set(range(count)) - set(positions)
    return still_to_do([range(each, each + 1) for each in sorted(there)], count)
