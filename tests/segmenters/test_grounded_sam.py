"""GroundedSAM on tiny random checkpoints: answers depend on text, image and box, on no batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covar_gen.core import plugins
from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import DeviceMemoryError, PluginError
from covar_gen.segmenters import _loading, _sam
from covar_gen.segmenters._detector import caption
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest
from covar_gen.segmenters.grounded_sam import GroundedSam

Make = Callable[..., GroundedSam]
PAIRS = [("detector", "sam"), ("mm_detector", "sam2")]


@pytest.fixture(scope="module")
def make(checkpoints: Path) -> Make:
    """Makes a segmenter that is ready: make(detector="mm_detector", box_threshold=0.5, ...).

    Those with the same options are the same; a test that changes one asks for a `fresh` one.
    """
    kept: dict[str, GroundedSam] = {}

    def ready(
        detector: str = "detector", sam: str = "sam", *, fresh: bool = False, **options: Any
    ) -> GroundedSam:
        weights = {"detector": str(checkpoints / detector), "sam": str(checkpoints / sam)}
        key = repr((weights, options))
        if fresh or key not in kept:
            made = plugins.make("segmenters", "grounded_sam", Segmenter, {**weights, **options})
            assert isinstance(made, GroundedSam)
            made.setup()
            if fresh:
                return made
            kept[key] = made
        return kept[key]

    return ready


def counted(model: torch.nn.Module, calls: list[Any]) -> None:
    """Note the arguments of every pass of a module."""
    model.register_forward_pre_hook(
        lambda _module, args, named: calls.append((args, named)), with_kwargs=True
    )


def detections(answer: Segmentation | Rejected) -> tuple[Any, Any]:
    """Boxes and scores of an answer as arrays."""
    boxes, scores = answer.params["boxes"], answer.params["scores"]
    return np.reshape(np.asarray(boxes, float), (-1, 4)), np.asarray(scores)


def same(one: Sequence[Segmentation | Rejected], other: Sequence[Segmentation | Rejected]) -> None:
    """Assert that two lists of answers agree up to rounding."""
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert type(first) is type(second)
        for left, right, tolerance in zip(
            detections(first), detections(second), (1e-3, 1e-5), strict=True
        ):
            np.testing.assert_allclose(left, right, atol=tolerance, rtol=0)
        assert first.params["phrases"] == second.params["phrases"]
        expected = (each.params.get("outline_scores", []) for each in (first, second))
        np.testing.assert_allclose(*expected, atol=1e-3)
        if isinstance(first, Segmentation) and isinstance(second, Segmentation):
            union = (first.mask | second.mask).sum()
            assert (first.mask & second.mask).sum() >= 0.999 * union


def test_the_detector_reads_the_papers_text_and_nothing_else(
    make: Make, requests: list[SegmentRequest]
) -> None:
    segmenter = make(fresh=True)
    calls: list[Any] = []
    counted(segmenter.detector.model, calls)
    answer = segmenter.segment(requests[:1])[0]
    ids = calls[0][1]["input_ids"].tolist()
    # [CLS] cat , foreground objects . [SEP]
    assert ids == [[101, 203, 1010, 200, 202, 1012, 102]]
    assert answer.params["text"] == "cat, foreground objects."


@pytest.mark.parametrize(
    ("text", "name", "read"),
    [
        ("{class_name}, foreground objects", "Red Fox", "red fox, foreground objects."),
        ("{class_name}, foreground objects", "St. Bernard", "st bernard, foreground objects."),
        ("{class_name}", " who?  me. ", "who me."),
        ("{class_name}. foreground object.", "cat", "cat. foreground object."),
        ("a {class_name} or {class_name} ", "{class_name}", "a {class_name} or {class_name}."),
    ],
)
def test_a_text_is_lower_case_closed_and_cut_only_where_its_author_cuts_it(
    text: str, name: str, read: str
) -> None:
    assert caption(text, name) == read


def test_a_text_without_the_class_is_refused() -> None:
    with pytest.raises(PluginError, match=r"grounded_sam.text: .*\{class_name"):
        plugins.make("segmenters", "grounded_sam", Segmenter, {"text": "foreground objects"})


@pytest.mark.parametrize(("detector", "sam"), PAIRS)
def test_the_answers_do_not_depend_on_the_batch(
    make: Make, requests: list[SegmentRequest], detector: str, sam: str
) -> None:
    segmenter = make(detector, sam)
    together = segmenter.segment(requests)
    same(together, [segmenter.segment([request])[0] for request in requests])
    same(together[::-1], segmenter.segment(requests[::-1]))
    found = [answer for answer in together if isinstance(answer, Segmentation)]
    assert len(found) >= 3
    assert len({len(answer.params["boxes"]) for answer in found}) > 1
    assert all(0.05 < answer.mask.mean() < 0.95 for answer in found)
    # Each speaks of its own text.
    names = ("cat", "dog", "st bernard", "bird", "red disc")
    for name, answer in zip(names, together, strict=True):
        words = {word for phrase in answer.params["phrases"] for word in phrase.split()}
        assert words <= {*name.split(), f"{name.split()[-1]},", ",", "foreground", "objects"}


def test_images_of_one_size_pass_each_model_once(
    make: Make, requests: list[SegmentRequest]
) -> None:
    segmenter = make(box_threshold=0.1, fresh=True)
    calls: tuple[list[Any], list[Any]] = ([], [])
    counted(segmenter.detector.model, calls[0])
    counted(segmenter.outliner.model.vision_encoder, calls[1])
    wide = [request for request in requests if request.image.shape == (48, 64, 3)]
    segmenter.segment(wide)
    assert [call[1]["pixel_values"].shape[0] for call in calls[0]] == [3]
    assert [call[0][0].shape[0] for call in calls[1]] == [3]
    segmenter.segment(requests)
    assert sorted(call[1]["pixel_values"].shape[0] for call in calls[0][1:]) == [1, 1, 3]
    assert [call[0][0].shape[0] for call in calls[1][1:]] == [5]


def test_padding_to_a_common_size_would_change_the_scores(
    make: Make, requests: list[SegmentRequest]
) -> None:
    # Why images of different sizes do not share a pass of the detector.
    detector = make().detector
    images = [requests[0].image.copy(), requests[1].image.copy()]
    words = detector._words(["cat, foreground objects."])
    scores = []
    for given in (images[:1], images):
        seen = detector.images(given, return_tensors="pt")
        texts = {name: value.expand(len(given), -1) for name, value in words.items()}
        with torch.inference_mode():
            outputs = detector.model(**seen, **texts)
        scores.append(outputs.logits[0].sigmoid().amax(-1).sort().values)
    assert (scores[0] - scores[1]).abs().max() > 1e-3


def test_the_detections_are_those_of_the_librarys_own_processor(
    make: Make, checkpoints: Path, requests: list[SegmentRequest]
) -> None:
    from transformers import GroundingDinoProcessor

    segmenter = make()
    processor = GroundingDinoProcessor.from_pretrained(checkpoints / "detector")
    for request in requests:
        text = caption(segmenter.options.text, request.class_name)
        inputs = processor(images=request.image.copy(), text=text, return_tensors="pt")
        with torch.inference_mode():
            outputs = segmenter.detector.model(**inputs)
        theirs = processor.post_process_grounded_object_detection(
            outputs, inputs.input_ids, 0.3, 0.25, target_sizes=[request.image.shape[:2]]
        )[0]
        ours = segmenter.segment([request])[0]
        order = theirs["scores"].argsort(descending=True, stable=True)
        boxes, scores = detections(ours)
        np.testing.assert_allclose(boxes, theirs["boxes"][order], atol=1e-4)
        np.testing.assert_allclose(scores, theirs["scores"][order], atol=1e-6)
        words = [theirs["text_labels"][n].replace("[SEP]", "") for n in order]
        assert ours.params["phrases"] == [word.replace(".", "").strip() for word in words]


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_the_outlines_are_those_of_the_librarys_own_processor(
    make: Make, checkpoints: Path, requests: list[SegmentRequest], kind: str
) -> None:
    from transformers import AutoProcessor

    outliner = make(sam=kind).outliner
    processor = AutoProcessor.from_pretrained(checkpoints / kind)
    image = requests[0].image.copy()
    boxes = [[4.0, 6.0, 30.0, 40.0], [20.0, 1.0, 63.0, 44.0]]
    inputs = processor(images=image, input_boxes=[boxes], return_tensors="pt")
    sizes = [inputs.pop("original_sizes")]
    edges = inputs.pop("reshaped_input_sizes", None)
    sizes += [] if edges is None else [edges]
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.inference_mode():
        outputs = outliner.model(**inputs, multimask_output=False)
    theirs = processor.post_process_masks(outputs.pred_masks, *sizes)[0][:, 0]
    mask, quality = outliner.outline([image], [torch.tensor(boxes)])[0]
    np.testing.assert_array_equal(mask, theirs.any(0).numpy())
    np.testing.assert_allclose(quality, outputs.iou_scores[0, :, 0], atol=1e-5)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_several_boxes_are_united_and_each_matters(
    make: Make, requests: list[SegmentRequest], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outliner = make(sam=kind).outliner
    image = requests[0].image.copy()
    boxes = torch.tensor([[0.0, 0, 20, 20], [30, 10, 60, 44], [5, 30, 50, 47]])
    alone = [outliner.outline([image], [box[None]])[0][0] for box in boxes]
    assert (alone[0] != alone[1]).any()
    united = outliner.outline([image], [boxes])[0][0]
    np.testing.assert_array_equal(united, np.any(alone, axis=0))
    assert any((united != mask).any() for mask in alone)
    # However many boxes go through the decoder at once.
    monkeypatch.setattr(_sam, "AT_ONCE", 2)
    monkeypatch.setattr(_loading, "MASK_PIXELS", 1)
    again = outliner.outline([image, image], [boxes[:1], boxes])
    np.testing.assert_array_equal(again[0][0], alone[0])
    np.testing.assert_array_equal(again[1][0], united)


def test_the_mask_unites_the_outlines_of_all_boxes_that_are_told(
    make: Make, requests: list[SegmentRequest]
) -> None:
    segmenter = make(box_threshold=0.2)
    grown = 0
    for request, answer in zip(requests, segmenter.segment(requests), strict=True):
        if isinstance(answer, Rejected):
            continue
        image, boxes = request.image.copy(), torch.tensor(answer.params["boxes"])
        mask, expected = segmenter.outliner.outline([image], [boxes])[0]
        assert (answer.mask != mask).mean() < 0.001
        np.testing.assert_allclose(answer.params["outline_scores"], expected, atol=1e-3)
        grown += int((mask & ~segmenter.outliner.outline([image], [boxes[:1]])[0][0]).sum())
    assert grown > 100


@pytest.mark.parametrize(("detector", "sam"), PAIRS)
def test_the_answer_depends_on_the_text_and_on_the_image(
    make: Make, requests: list[SegmentRequest], detector: str, sam: str
) -> None:
    segmenter = make(detector, sam, box_threshold=0.2)
    image = requests[0].image
    mirrored = image[:, ::-1].copy()
    cat, dog, other = segmenter.segment(
        [
            SegmentRequest("a", image, "cat", 0),
            SegmentRequest("b", image, "dog", 0),
            SegmentRequest("c", mirrored, "cat", 0),
        ]
    )
    for answer in (dog, other):
        assert isinstance(answer, Segmentation)
        assert isinstance(cat, Segmentation)
        assert answer.params["scores"] != cat.params["scores"]
        assert (answer.mask != cat.mask).any()


def test_only_what_passes_the_thresholds_counts(make: Make, requests: list[SegmentRequest]) -> None:
    low, high = make(box_threshold=0.2), make(box_threshold=0.35)
    for many, few in zip(low.segment(requests), high.segment(requests), strict=True):
        scores = many.params["scores"]
        assert all(score > 0.2 for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert few.params["scores"] == [score for score in scores if score > 0.35]
        assert few.params["boxes"] == many.params["boxes"][: len(few.params["scores"])]
    phrases = make(text_threshold=1).segment(requests[:1])[0].params["phrases"]
    assert phrases
    assert set(phrases) == {""}
    # No word of the tiny text scores less than a millionth; [CLS] and [SEP] are no words.
    words = make(text_threshold=1e-6).segment(requests[:1])[0].params["phrases"]
    assert set(words) == {"cat, foreground objects"}


def test_an_image_without_a_detection_is_rejected_with_its_best_score(
    make: Make, requests: list[SegmentRequest]
) -> None:
    answers = make(box_threshold=0.36).segment(requests)
    refused = [answer for answer in answers if isinstance(answer, Rejected)]
    assert 0 < len(refused) < len(answers)
    for answer in refused:
        assert answer.reason == "no_detection"
        assert 0 < answer.params["best_score"] <= 0.36
        assert [answer.params[name] for name in ("scores", "boxes", "phrases")] == [[], [], []]
    assert {type(answer) for answer in make(box_threshold=1).segment(requests)} == {Rejected}


def test_half_precision_is_recorded_and_changes_little(
    make: Make, requests: list[SegmentRequest]
) -> None:
    # Random weights make much of little: bfloat16, with 8 bits, would be of no use to them.
    exact, half = make(box_threshold=0.1), make(box_threshold=0.1, dtype="float16")
    assert half.detector.model.dtype == torch.float32
    for one, other in zip(exact.segment(requests), half.segment(requests), strict=True):
        assert (one.params["dtype"], other.params["dtype"]) == ("float32", "float16")
        assert one.params["scores"] != other.params["scores"]
        assert abs(one.params["scores"][0] - other.params["scores"][0]) < 0.02
    assert exact.identity() != half.identity()
    rounded = make(dtype="bfloat16").segment(requests)
    assert {answer.params["dtype"] for answer in rounded} == {"bfloat16"}
    assert any(isinstance(answer, Segmentation) for answer in rounded)


def test_arithmetic_that_overflows_is_no_answer(make: Make, requests: list[SegmentRequest]) -> None:
    segmenter = make(fresh=True)
    with torch.no_grad():
        segmenter.outliner.model.mask_decoder.iou_token.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="SAM's masks"):
        segmenter.segment(requests)
    with torch.no_grad():
        segmenter.detector.model.model.text_projection.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="detector's scores"):
        segmenter.segment(requests)


def test_too_little_memory_halves_the_batch_and_is_recorded(
    make: Make, requests: list[SegmentRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make(fresh=True)
    whole = segmenter.segment(requests)
    assert not any("batch" in answer.params for answer in whole)
    detect = segmenter.detector.detect
    fits = 2

    def small(images: Any, *rest: Any) -> Any:
        if len(images) > fits:
            raise torch.OutOfMemoryError
        return detect(images, *rest)

    monkeypatch.setattr(segmenter.detector, "detect", small)
    halved = segmenter.segment(requests)
    same(whole, halved)
    assert [answer.params["batch"] for answer in halved] == [2, 2, 1, 2, 2]
    fits = 0
    with pytest.raises(DeviceMemoryError, match=r"grounded_sam: .*single image"):
        segmenter.segment(requests)


def test_the_identity_tells_weights_by_their_content(
    make: Make, checkpoints: Path, tmp_path: Path
) -> None:
    import shutil

    one = make().identity()
    assert make(sam="sam2").identity() != one
    assert make("mm_detector").identity() != one
    assert make(text_threshold=0.2).identity() != one
    moved = shutil.copytree(checkpoints / "detector", tmp_path / "elsewhere")
    assert make(detector=moved).identity() == one
    settings = moved / "processor_config.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace("96", "128"), encoding="utf-8")
    assert make(detector=moved).identity() != one
    moved = shutil.copytree(checkpoints / "sam", tmp_path / "other")
    assert make(sam=moved).identity() == one
    settings = moved / "config.json"
    settings.write_text(settings.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert make(sam=moved).identity() != one
    assert str(tmp_path) not in str(one)
