"""Preprocessing is read from what the model was published with; the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from open_clip.transform import PreprocessCfg
from transformers import CLIPImageProcessor, SiglipImageProcessor, ViTImageProcessor

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.open_clip_model import preprocessing_of as of_open_clip
from covar_gen.evaluation.models.transformers_model import preprocessing_of as of_processor
from covar_gen.evaluation.preprocessing import Grid, Preprocessing

CLIP = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}


def test_open_clips_defaults_are_clips() -> None:
    found = of_open_clip(vars(PreprocessCfg()), "")
    assert found == Preprocessing(
        Grid(224, 224, "shortest", 224, "bicubic"),
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    )


@pytest.mark.parametrize(
    ("changes", "grid"),
    [
        ({"size": 384, "resize_mode": "squash"}, Grid(384, 384, "squash", 0)),
        ({"size": (32, 48), "resize_mode": "squash"}, Grid(32, 48, "squash", 0)),
        (
            {"size": (64, 64), "resize_mode": "longest", "fill_color": 128},
            Grid(64, 64, "longest", 64, "bicubic", 128),
        ),
        ({"interpolation": "bilinear"}, Grid(224, 224, "shortest", 224, "bilinear")),
        ({"interpolation": "random"}, Grid(224, 224, "shortest", 224, "bicubic")),
        # open_clip resizes to an oblong bicubically, whatever it is told.
        ({"size": (32, 48), "interpolation": "bilinear"}, Grid(32, 48, "shortest", 0, "bicubic")),
    ],
)
def test_open_clips_settings_are_read(changes: dict[str, Any], grid: Grid) -> None:
    assert of_open_clip({**vars(PreprocessCfg()), **changes}, "").grid == grid


def test_one_number_stands_for_three_channels() -> None:
    found = of_open_clip({**vars(PreprocessCfg()), "mean": 0.5, "std": 0.25}, "")
    assert (found.mean, found.std) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": None}, "mean missing"),
        ({"size": None, "std": ()}, "size, std missing"),
        ({"resize_mode": "stretch"}, "'stretch'"),
        ({"interpolation": "lanczos"}, "'lanczos'"),
    ],
)
def test_what_open_clips_settings_do_not_say_is_not_assumed(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        of_open_clip({**vars(PreprocessCfg()), **changes}, "M")


def test_transformers_clip_processor_is_a_resize_and_a_crop() -> None:
    found = of_processor(CLIPImageProcessor(**CLIP), 32, "")
    assert found.grid == Grid(32, 32, "shortest", 40, "bicubic", halves="down")
    assert found.mean == (0.48145466, 0.4578275, 0.40821073)


def test_transformers_siglip_processor_is_a_squash() -> None:
    size = {"height": 32, "width": 32}
    found = of_processor(SiglipImageProcessor(size=size, resample=2), 32, "")
    assert found == Preprocessing(Grid(32, 32, "squash", 0, "bilinear"), (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"do_resize": False}, "do_resize is off"),
        ({"do_rescale": False}, "do_rescale is off"),
        ({"do_normalize": False}, "do_normalize is off"),
        ({"do_center_crop": False}, "crop off"),
        ({"do_pad": True}, "do_pad is on"),
        ({"rescale_factor": 1 / 127.5}, "is not 1/255"),
        ({"resample": 0}, "resample 0"),
        ({"resample": 1}, "resample 1"),
        ({"size": {"shortest_edge": 24}}, "out of an edge of 24"),
        ({"size": {"height": 40, "width": 40}}, "then cropping"),
        ({"size": {"shortest_edge": 40, "longest_edge": 60}}, "longest_edge"),
        ({"crop_size": {"height": 24, "width": 24}}, "the tower takes 32x32"),
        ({"image_mean": [0.5], "image_std": [0.5]}, "1 channels"),
    ],
)
def test_steps_of_a_processor_that_cannot_be_reproduced_are_refused(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match="cannot be reproduced exactly") as caught:
        of_processor(CLIPImageProcessor(**{**CLIP, **changes}), 32, "M")
    assert said in caught.value.what


def test_processors_of_other_models_are_refused() -> None:
    with pytest.raises(ModelError, match="a ViTImageProcessor is not known"):
        of_processor(ViTImageProcessor(), 224, "M")
