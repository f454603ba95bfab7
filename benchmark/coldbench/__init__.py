"""coldbench: evaluation and benchmarking of Cold Diffusion.

Everything public is imported when it is first used, since torch takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from coldbench.api import (
        build_degradation,
        compare,
        evaluate,
        generate,
        load_model,
        open_images,
        report,
        run_table,
        save_statistics,
    )
    from coldbench.data.datasets import Dataset
    from coldbench.data.sources import ImageSource, array_source
    from coldbench.diffusion.degradations.base import Degradation
    from coldbench.diffusion.samplers import Sampler
    from coldbench.diffusion.sampling import Restore, sample
    from coldbench.metrics.features import FeatureSpace
    from coldbench.metrics.metric import Metric, mean_over_images
    from coldbench.records.record import Record
    from coldbench.records.record import load as load_records

#: Public name -> where it is.
_PUBLIC = {
    "build_degradation": "coldbench.api:build_degradation",
    "compare": "coldbench.api:compare",
    "evaluate": "coldbench.api:evaluate",
    "generate": "coldbench.api:generate",
    "load_model": "coldbench.api:load_model",
    "open_images": "coldbench.api:open_images",
    "report": "coldbench.api:report",
    "run_table": "coldbench.api:run_table",
    "save_statistics": "coldbench.api:save_statistics",
    "sample": "coldbench.diffusion.sampling:sample",
    "load_records": "coldbench.records.record:load",
    "Dataset": "coldbench.data.datasets:Dataset",
    "Degradation": "coldbench.diffusion.degradations.base:Degradation",
    "FeatureSpace": "coldbench.metrics.features:FeatureSpace",
    "ImageSource": "coldbench.data.sources:ImageSource",
    "Metric": "coldbench.metrics.metric:Metric",
    "Record": "coldbench.records.record:Record",
    "Restore": "coldbench.diffusion.sampling:Restore",
    "Sampler": "coldbench.diffusion.samplers:Sampler",
    "array_source": "coldbench.data.sources:array_source",
    "mean_over_images": "coldbench.metrics.metric:mean_over_images",
}

__all__ = [
    "Dataset",
    "Degradation",
    "FeatureSpace",
    "ImageSource",
    "Metric",
    "Record",
    "Restore",
    "Sampler",
    "array_source",
    "build_degradation",
    "compare",
    "evaluate",
    "generate",
    "load_model",
    "load_records",
    "mean_over_images",
    "open_images",
    "report",
    "run_table",
    "sample",
    "save_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'coldbench' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
