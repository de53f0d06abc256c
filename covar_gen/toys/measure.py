"""How well a folder's model names the toy world's classes, loaded as every user would load it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Image
from covar_gen.core.imaging import decode_png
from covar_gen.core.seeds import generator, seed_of, uniform
from covar_gen.core.store import open_run
from covar_gen.toys.world import BACKGROUNDS, CLASSES, TYPICAL, render

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

TEXT = "a photo of a {}."
BLOCK = 256
"""Pictures looked at together."""


def held_out(count: int, *, typical: bool, first: int = 0) -> tuple[list[Image], list[str]]:
    """Pictures that no toy was trained on and no source shows, and their classes.

    Args:
        count: of pictures, the classes in turn.
        typical: True: each class before its typical background; False: before any of them.
        first: number of the first; one number is always one object.
    """
    images, names = [], []
    for number in range(first, first + count):
        seed = seed_of(0, "held out", str(number))
        name = CLASSES[number % len(CLASSES)]
        other = BACKGROUNDS[int(uniform(generator(seed), 0, len(BACKGROUNDS)))]
        images.append(render(name, TYPICAL[name] if typical else other, seed)[0])
        names.append(name)
    return images, names


def predictions(folder: Path, images: Sequence[Image], texts: Sequence[str]) -> NDArray[np.int64]:
    """Zero-shot: the number of the text that fits each picture best, int64 (N,).

    Args:
        folder: of a toy model; open_clip's where it holds an open_clip_config.json, else
            transformers'.
        images: uint8 (H, W, 3), RGB.
        texts: candidates.
    """
    import torch

    own = (folder / "open_clip_config.json").is_file()
    answer = _open_clip_logits if own else _siglip_logits
    with torch.inference_mode():
        found = answer(folder, images, list(texts))
    return np.asarray(found.argmax(1).numpy(), np.int64)


def accuracy(folder: Path, images: Sequence[Image], names: Sequence[str]) -> float:
    """Share of pictures whose class is named rightly among the world's."""
    found = predictions(folder, images, [TEXT.format(name) for name in CLASSES])
    return float(np.mean([CLASSES[number] == name for number, name in zip(found, names)]))  # noqa: B905 - one for each


def by_subset(folder: Path, run: Path) -> dict[str, float]:
    """Accuracy on each subset of a finished run of the toy world, the originals first.

    Raises:
        RunFolderError: the folder is not a finished run.
    """
    opened = open_run(run)
    columns = ["subset", "class_name", "image", "sha256", "status"]
    rows = [row for row in opened.manifest(columns).to_pylist() if row["status"] == "ok"]
    images = [decode_png(opened.read(row["image"], row["sha256"])) for row in rows]
    found = predictions(folder, images, [TEXT.format(name) for name in CLASSES])
    right = [CLASSES[number] == row["class_name"] for number, row in zip(found, rows, strict=True)]
    subsets = sorted({row["subset"] for row in rows}, key=lambda name: (name != "original", name))
    return {
        subset: float(
            np.mean([r for r, row in zip(right, rows, strict=True) if row["subset"] == subset])
        )
        for subset in subsets
    }


def _open_clip_logits(folder: Path, images: Sequence[Image], texts: list[str]) -> torch.Tensor:
    import open_clip
    import torch
    from PIL import Image as Pillow

    name = f"local-dir:{folder.resolve()}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    classes = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    parts = []
    for start in range(0, len(images), BLOCK):
        block = [preprocess(Pillow.fromarray(image)) for image in images[start : start + BLOCK]]
        parts.append(model.encode_image(torch.stack(block), normalize=True) @ classes.T)
    return torch.cat(parts)


def _siglip_logits(folder: Path, images: Sequence[Image], texts: list[str]) -> torch.Tensor:
    import torch
    from PIL import Image as Pillow
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    numbers = processor(text=texts, padding="max_length", truncation=True, return_tensors="pt")
    parts = []
    for start in range(0, len(images), BLOCK):
        block = [Pillow.fromarray(image) for image in images[start : start + BLOCK]]
        pixels = processor(images=block, return_tensors="pt")
        found = model(input_ids=numbers["input_ids"], pixel_values=pixels["pixel_values"])
        parts.append(found.logits_per_image)
    return torch.cat(parts)
