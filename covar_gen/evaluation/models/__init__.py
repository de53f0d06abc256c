"""Models: one interface over open_clip's and transformers' towers.

from covar_gen.evaluation.models import load_model, wrap

model = load_model("ViT-B-16-quickgelu/openai", device="cuda", precision="bf16")
model.encode_image(pixels), model.encode_text(["a photo of a zebra."])
"""

from covar_gen.evaluation.models.base import Model
from covar_gen.evaluation.models.loading import load_model, wrap

__all__ = ["Model", "load_model", "wrap"]
