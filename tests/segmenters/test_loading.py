"""What cannot be loaded is said in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from covar_gen.core import plugins
from covar_gen.core.checkpoints import find
from covar_gen.core.errors import WeightsError
from covar_gen.segmenters._loading import together
from covar_gen.segmenters.base import Segmenter


def grounded_sam(checkpoints: Path, **options: Any) -> Any:
    """The segmenter with tiny weights, not loaded."""
    given = {"detector": str(checkpoints / "detector"), "sam": str(checkpoints / "sam"), **options}
    return plugins.make("segmenters", "grounded_sam", Segmenter, given)


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("detector", "clip", "of the kind 'clip'.*grounding-dino or mm-grounding-dino"),
        ("detector", "sam", "of the kind 'sam'"),
        ("sam", "detector", "of the kind 'grounding-dino'.*sam or sam2"),
        ("sam", "sam3", "of the kind 'sam3'"),
    ],
)
def test_a_checkpoint_of_the_wrong_kind_is_refused_when_the_recipe_is_read(
    checkpoints: Path, option: str, given: str, said: str
) -> None:
    segmenter = grounded_sam(checkpoints, **{option: str(checkpoints / given)})
    with pytest.raises(WeightsError, match=f"grounded_sam.{option}: .*{said}"):
        segmenter.check()


def test_pinned_weights_are_compared_before_they_are_used(checkpoints: Path) -> None:
    pinned = find(str(checkpoints / "sam"), ("sam",), "x").sha256
    grounded_sam(checkpoints, sam_sha256=pinned).identity()
    wrong = grounded_sam(checkpoints, sam_sha256=pinned, detector_sha256=pinned)
    with pytest.raises(WeightsError, match=r"grounded_sam.detector: .*grounded_sam.detector_sha"):
        wrong.setup()


def test_weights_of_the_hub_that_are_not_here_are_said_with_the_command(
    checkpoints: Path, offline: Path
) -> None:
    segmenter = grounded_sam(checkpoints, detector="IDEA-Research/grounding-dino-base")
    for use in (segmenter.check, segmenter.identity, segmenter.setup):
        with pytest.raises(
            WeightsError,
            match=r"hf download IDEA-Research/grounding-dino-base --revision [0-9a-f]{40};",
        ):
            use()
    assert not offline.exists()


def test_a_damaged_checkpoint_is_said_in_one_line(checkpoints: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoints / "sam", tmp_path / "damaged")
    weights = folder / "model.safetensors"
    whole = load_file(weights)
    lacking = dict(whole)
    del lacking["mask_decoder.iou_token.weight"]
    other = {**whole, "mask_decoder.iou_token.weight": torch.zeros(1, 7)}
    settings = folder / "processor_config.json"
    for state, said in (
        (lacking, "lack mask_decoder.iou_token.weight"),
        (other, "transformers cannot load local:damaged@"),
        (None, "model.safetensors is cut off: it has 1000 bytes of "),
    ):
        if state is None:
            weights.write_bytes(weights.read_bytes()[:1000])
        else:
            save_file(state, weights, metadata={"format": "pt"})
        segmenter = grounded_sam(checkpoints, sam=str(folder))
        with pytest.raises(WeightsError, match=f"grounded_sam.sam: .*{said}") as found:
            segmenter.setup()
        assert "\n" not in str(found.value)
    save_file(whole, weights, metadata={"format": "pt"})
    settings.write_text(json.dumps({"image_processor_type": "Nothing"}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"grounded_sam\.sam: transformers cannot load"):
        grounded_sam(checkpoints, sam=str(folder)).setup()


def test_code_beside_the_weights_is_never_run(checkpoints: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints / "sam", tmp_path / "custom")
    config = folder / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values["auto_map"] = {"AutoModel": "evil.Evil", "AutoImageProcessor": "evil.Evil"}
    config.write_text(json.dumps(values), encoding="utf-8")
    (folder / "evil.py").write_text("raise SystemExit(7)\n", encoding="utf-8")
    grounded_sam(checkpoints, sam=str(folder)).setup()


def test_the_published_sam2_which_is_one_for_videos_gives_the_same_outlines(
    checkpoints: Path, tmp_path: Path, requests: list[Any]
) -> None:
    folder = shutil.copytree(checkpoints / "sam2", tmp_path / "video")
    config = folder / "config.json"
    values = {**json.loads(config.read_text(encoding="utf-8")), "model_type": "sam2_video"}
    config.write_text(json.dumps(values), encoding="utf-8")
    boxes = [torch.tensor([[4.0, 4.0, 40.0, 30.0]])]
    masks = []
    for sam in (folder, checkpoints / "sam2"):
        segmenter = grounded_sam(checkpoints, sam=str(sam))
        segmenter.setup()
        masks.append(segmenter.outliner.outline([requests[0].image.copy()], boxes)[0][0])
    assert (masks[0] == masks[1]).all()
    assert masks[0].any()


def test_masks_of_large_photographs_are_held_few_at_a_time() -> None:
    assert together((375, 500), 64) == 64
    # 12 million pixels: 11 of them make 132 of the 134 million that are held.
    assert together((3000, 4000), 64) == 11
    assert together((20_000, 20_000), 64) == 1
