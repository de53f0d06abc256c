"""SAM 3 on a tiny random checkpoint: its answers depend on text and image, and on no batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covar_gen.core import plugins
from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import DeviceMemoryError, WeightsError
from covar_gen.segmenters import _loading
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest
from covar_gen.segmenters.sam3 import Sam3


def ready(weights: Path, **options: Any) -> Sam3:
    """A segmenter with its model loaded."""
    made = plugins.make("segmenters", "sam3", Segmenter, {"weights": str(weights), **options})
    assert isinstance(made, Sam3)
    made.setup()
    return made


@pytest.fixture(scope="module")
def segmenter(checkpoints: Path) -> Sam3:
    """The one with the default options; tests do not change it."""
    return ready(checkpoints / "sam3")


def test_the_answers_do_not_depend_on_the_batch_and_take_one_pass(
    checkpoints: Path, requests: list[SegmentRequest]
) -> None:
    segmenter = ready(checkpoints / "sam3")
    passes: list[int] = []
    segmenter.module.register_forward_pre_hook(
        lambda _module, _args, named: passes.append(len(named["pixel_values"])), with_kwargs=True
    )
    together = segmenter.segment(requests)
    assert passes == [len(requests)]
    assert {type(answer) for answer in together} == {Segmentation, Rejected}
    for request, answer in zip(requests, together, strict=True):
        alone = segmenter.segment([request])[0]
        assert type(alone) is type(answer)
        np.testing.assert_allclose(answer.params["scores"], alone.params["scores"], atol=1e-5)
        assert answer.params["text"] == request.class_name
        if isinstance(answer, Segmentation) and isinstance(alone, Segmentation):
            assert answer.mask.shape == request.image.shape[:2]
            assert (answer.mask != alone.mask).mean() < 0.001
            boxes = np.asarray(answer.params["boxes"])
            np.testing.assert_allclose(boxes, alone.params["boxes"], atol=1e-3)
            assert answer.params["phrases"] == [request.class_name] * len(boxes)


def test_the_instances_are_those_of_the_librarys_own_processor(
    segmenter: Sam3, checkpoints: Path, requests: list[SegmentRequest]
) -> None:
    from transformers import Sam3Processor

    processor = Sam3Processor.from_pretrained(checkpoints / "sam3")
    image = requests[1].image.copy()
    inputs = processor(images=image, text="dog", return_tensors="pt")
    inputs.pop("original_sizes")
    with torch.inference_mode():
        outputs = segmenter.module(**inputs)
    theirs = processor.post_process_instance_segmentation(
        outputs, threshold=0.3, mask_threshold=0.5, target_sizes=[image.shape[:2]]
    )[0]
    ours = segmenter.segment(requests[1:2])[0]
    assert isinstance(ours, Segmentation)
    assert len(theirs["scores"]) > 1
    # Several instances are united.
    np.testing.assert_array_equal(ours.mask, theirs["masks"].bool().any(0).numpy())
    assert (ours.mask != theirs["masks"][0].bool().numpy()).any()
    order = theirs["scores"].argsort(descending=True)
    np.testing.assert_allclose(ours.params["scores"], theirs["scores"][order], atol=1e-6)
    np.testing.assert_allclose(ours.params["boxes"], theirs["boxes"][order], atol=1e-4)


def test_few_masks_of_a_large_photograph_are_held_at_once(
    segmenter: Sam3, requests: list[SegmentRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = segmenter.segment(requests)
    held: list[int] = []
    process = segmenter.images.post_process_instance_segmentation

    def counted(outputs: Any, **options: Any) -> Any:
        held.append(outputs.pred_masks.shape[1])
        return process(outputs, **options)

    monkeypatch.setattr(segmenter.images, "post_process_instance_segmentation", counted)
    monkeypatch.setattr(_loading, "MASK_PIXELS", 2 * 64 * 48)
    for one, other in zip(whole, segmenter.segment(requests), strict=True):
        assert one.params == other.params
        if isinstance(one, Segmentation) and isinstance(other, Segmentation):
            np.testing.assert_array_equal(one.mask, other.mask)
    assert max(held) == 2
    assert sum(held) == sum(len(answer.params["scores"]) for answer in whole)


def test_the_answer_depends_on_the_text_and_on_the_image(
    checkpoints: Path, requests: list[SegmentRequest]
) -> None:
    segmenter = ready(checkpoints / "sam3", threshold=0.1)
    image = requests[0].image
    dog, cat, other = segmenter.segment(
        [
            SegmentRequest("a", image, "dog", 0),
            SegmentRequest("b", image, "cat", 0),
            SegmentRequest("c", image[:, ::-1].copy(), "dog", 0),
        ]
    )
    assert dog.params["scores"] != cat.params["scores"]
    assert dog.params["scores"] != other.params["scores"]


def test_only_what_passes_the_thresholds_counts(
    segmenter: Sam3, checkpoints: Path, requests: list[SegmentRequest]
) -> None:
    default = segmenter.segment(requests[1:2])[0]
    assert isinstance(default, Segmentation)
    assert all(score > 0.3 for score in default.params["scores"])
    strict = ready(checkpoints / "sam3", mask_threshold=0.6).segment(requests[1:2])[0]
    assert isinstance(strict, Segmentation)
    assert strict.mask.sum() < default.mask.sum()
    assert not (strict.mask & ~default.mask).any()
    none = ready(checkpoints / "sam3", threshold=0.9).segment(requests[1:2])[0]
    assert isinstance(none, Rejected)
    assert none.reason == "no_detection"
    assert none.params["scores"] == none.params["boxes"] == none.params["phrases"] == []
    assert none.params["best_score"] == pytest.approx(default.params["scores"][0], abs=1e-6)


def test_a_text_longer_than_the_model_reads_is_cut(
    segmenter: Sam3, requests: list[SegmentRequest]
) -> None:
    long = SegmentRequest("a", requests[0].image, "a very long name of a class " * 20, 0)
    assert segmenter.segment([long, requests[0]])


def test_the_template_names_the_class(checkpoints: Path, requests: list[SegmentRequest]) -> None:
    answer = ready(checkpoints / "sam3", text="a photo of a {class_name}").segment(requests[:1])[0]
    assert answer.params["text"] == "a photo of a cat"


def test_the_published_checkpoint_which_is_one_for_videos_holds_a_sam3(
    segmenter: Sam3, checkpoints: Path, tmp_path: Path, requests: list[SegmentRequest]
) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoints / "sam3", tmp_path / "video")
    config = folder / "config.json"
    inner = json.loads(config.read_text(encoding="utf-8"))
    whole = {"model_type": "sam3_video", "detector_config": inner}
    config.write_text(json.dumps(whole), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    weights = {f"detector_model.{name}": value for name, value in weights.items()}
    weights["tracker_model.unused"] = torch.zeros(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    answers = ready(folder).segment(requests)
    for one, other in zip(answers, segmenter.segment(requests), strict=True):
        assert one.params == other.params
    assert any(isinstance(answer, Segmentation) for answer in answers)


def test_half_precision_is_recorded_and_changes_little(
    segmenter: Sam3, checkpoints: Path, requests: list[SegmentRequest]
) -> None:
    half = ready(checkpoints / "sam3", dtype="float16")
    one, other = segmenter.segment(requests[1:2])[0], half.segment(requests[1:2])[0]
    assert (one.params["dtype"], other.params["dtype"]) == ("float32", "float16")
    assert one.params["scores"] != other.params["scores"]
    assert abs(one.params["scores"][0] - other.params["scores"][0]) < 0.02


def test_what_fails_is_said(
    checkpoints: Path, requests: list[SegmentRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = ready(checkpoints / "sam3")
    outputs = segmenter._outputs

    def small(images: Any, texts: Any) -> Any:
        if len(images) > 3:
            raise torch.OutOfMemoryError
        return outputs(images, texts)

    monkeypatch.setattr(segmenter, "_outputs", small)
    assert [answer.params["batch"] for answer in segmenter.segment(requests)] == [3, 3, 3, 2, 2]

    def full(*_given: object) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(segmenter, "_outputs", full)
    with pytest.raises(DeviceMemoryError, match=r"sam3: .*single image"):
        segmenter.segment(requests)
    monkeypatch.undo()
    with torch.no_grad():
        segmenter.module.text_projection.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        segmenter.segment(requests)


def test_another_model_is_refused_before_anything_is_computed(checkpoints: Path) -> None:
    for name in ("sam2", "clip"):
        options = {"weights": str(checkpoints / name)}
        made = plugins.make("segmenters", "sam3", Segmenter, options)
        with pytest.raises(WeightsError, match=f"sam3.weights: .*of the kind '{name}'"):
            made.check()


def test_the_identity_has_the_weights_content_and_no_path(
    segmenter: Sam3, checkpoints: Path
) -> None:
    assert segmenter.identity() == ready(checkpoints / "sam3").identity()
    assert ready(checkpoints / "sam3", threshold=0.4).identity() != segmenter.identity()
    assert str(checkpoints) not in str(segmenter.identity())
    assert segmenter.model == f"local:sam3@{segmenter.checkpoint.sha256[:12]}"
    assert segmenter.batch == 8
