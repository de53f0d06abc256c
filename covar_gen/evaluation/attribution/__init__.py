"""Attribution: which patches of an image a model's answer hangs on. One file per method.

from covar_gen.evaluation.attribution import get_method

found = get_method("cci", clusters=7).explain(model, pixels, model.encode_text(texts))
found.maps, found.labels, found.drops
"""

from covar_gen.evaluation.attribution.alignment import pixel_map, seen
from covar_gen.evaluation.attribution.base import Explanation, Method, get_method

__all__ = ["Explanation", "Method", "get_method", "pixel_map", "seen"]
