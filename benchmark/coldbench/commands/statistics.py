"""``coldbench statistics``: mean and covariance of a set of images, in the format of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coldbench.commands.request import Request
from coldbench.core.devices import choose_device
from coldbench.core.errors import BadInput
from coldbench.core.progress import tell
from coldbench.data.cache import ImageStore
from coldbench.data.sources import ImageSource
from coldbench.diffusion.catalog import load_entries
from coldbench.evaluation.checks import check_count
from coldbench.evaluation.set_features import View, features_of_set
from coldbench.metrics.features import FeatureSpace, load_feature_space
from coldbench.metrics.frechet import FeatureStatistics, few_images
from coldbench.metrics.statistics_file import check_name, write_statistics


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The images whose statistics are taken.

    Attributes:
        images: their name, see ``coldbench.data.datasets.open_source``; or the images.
        train: a data set's training images.
        image_size: S, in pixels; what the feature space takes, what the data set's models do, or the shorter side of
            the first image, unless given.
    """

    images: str | ImageSource
    train: bool = False
    image_size: int | None = None


def save_statistics(of: ImageSet, space: str | FeatureSpace, request: Request, output: Path) -> FeatureStatistics:
    """Take mean and covariance of the features of some images, and write them.

    Args:
        of: the images.
        space: the feature space, or its name.
        request: its ``images``, ``transform``, ``channels`` and ``batch_size``, and where to compute.
        output: the file.

    Raises:
        BadInput: images, settings or a file that will not do.
        Missing: a data set, a device or the weights of the feature space are absent.
    """
    check_name(output)
    store, device = request.store(), choose_device(request.device)
    if isinstance(space, str):
        space = load_feature_space(space, device)
    source = _source(of, store)
    count = _count(source, request)
    view = View(
        transform=request.transform or "native",
        image_size=_image_size(of, source, space),
        channels=request.channels or source.channels,
        device=device,
    )
    title = f"{source.name} training images" if of.train else source.name
    features = features_of_set(source, title, space, store, view, images=count, batch_size=request.images_at_a_time())
    statistics = features.seen_by(FeatureStatistics)
    write_statistics(statistics, output)
    warning = few_images(count, space.name, features.dimensions)
    seen = f"{title}, {view.transform}, {view.image_size} pixels, N {count:,}"
    told = f"{output}: mean and covariance of {seen}, in the {features.dimensions} dimensions of {space.name}"
    for line in filter(None, (f"warning: {warning}" if warning else "", "" if request.quiet else told)):
        tell(line)
    return statistics


def _source(of: ImageSet, store: ImageStore) -> ImageSource:
    """The images.

    Raises:
        BadInput: there are none, or training images are asked for of what has none.
        Missing: see ``open_source``.
    """
    source = of.images if isinstance(of.images, ImageSource) else store.source(of.images, train=of.train)
    no_dataset = isinstance(of.images, ImageSource) or of.images.startswith(("folder:", "npz:"))
    if of.train and no_dataset:
        raise BadInput(f"--train takes the training images of a data set, and {source.name} is none")
    return source


def _count(source: ImageSource, request: Request) -> int:
    """N.

    Raises:
        BadInput: there are not so many, or too few for a covariance.
    """
    count = source.count if request.images is None else request.images
    check_count(count, source.count, 0, source.name)
    if count < 2:
        raise BadInput(f"a covariance needs at least 2 images, not {count}")
    return count


def _image_size(of: ImageSet, source: ImageSource, space: FeatureSpace) -> int:
    """S, as ``ImageSet`` says.

    Raises:
        BadInput: the feature space takes images of another size, or the first image cannot be read.
    """
    if of.image_size is not None:
        if space.image_size not in (None, of.image_size):
            raise BadInput(f"{space.name} takes images of {space.image_size} pixels, not {of.image_size}")
        return of.image_size
    if space.image_size is not None:
        return space.image_size
    sizes = {entry.degradation.get("image_size") for entry in load_entries().values() if entry.dataset == of.images}
    of_models = sizes.pop() if len(sizes) == 1 else None
    return min(source.read(0).size) if of_models is None else int(of_models)
