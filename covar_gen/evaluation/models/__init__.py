"""Models: one interface over open_clip's and transformers' towers.

from covar_gen.evaluation.models import load_model, wrap

model = load_model("ViT-B-16-quickgelu/openai", device="cuda", precision="bf16")
model.encode_image(pixels), model.encode_text(["a photo of a zebra."])
"""

from covar_gen.evaluation.models.base import Model
from covar_gen.evaluation.models.loading import load_model, wrap
from covar_gen.evaluation.models.zoo import ZooEntry, expand, zoo

__all__ = ["Model", "ZooEntry", "expand", "load_model", "wrap", "zoo"]
