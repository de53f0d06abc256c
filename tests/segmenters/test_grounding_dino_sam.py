"""The original GroundedSAM: real classes, tiny random checkpoints in the original formats.

The same weights under transformers' names are run by transformers' classes, and must answer alike.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from covar_gen.core import plugins
from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.errors import MissingExtraError, PluginError, WeightsError
from covar_gen.segmenters import _original_models as originals
from covar_gen.segmenters._detector import Found
from covar_gen.segmenters._original_weights import PUBLISHED
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest
from covar_gen.segmenters.grounding_dino_sam import GroundingDinoSam

HEIGHT, WIDTH = 72, 96
SIDES = {"shortest_edge": HEIGHT, "longest_edge": 200}
TEXTS = ["cat, foreground objects.", "red car. blue bird. a gnu."]


@pytest.fixture(scope="module")
def converting(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    return module_of(Path(__file__).with_name("converting.py"))


@pytest.fixture(scope="module")
def files(converting: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bert, dino.pth and sam.pth, saved as their authors saved theirs."""
    import torch

    originals.quieten()
    folder = tmp_path_factory.mktemp("originals")
    bert = converting.bert_folder(folder / "bert")
    dino = converting.tiny_grounding_dino(bert)
    torch.save({"model": {f"module.{k}": v for k, v in dino.items()}}, folder / "dino.pth")
    torch.save(converting.tiny_sam(), folder / "sam.pth")
    return folder


@pytest.fixture(scope="module")
def make(files: Path) -> Callable[..., Segmenter]:
    def made(**options: Any) -> Segmenter:
        paths = {
            "detector": str(files / "dino.pth"),
            "sam": str(files / "sam.pth"),
            "text_encoder": str(files / "bert"),
        }
        # Where the detector's resizing leaves the photographs of this file as they are.
        sides = {"short_side": SIDES["shortest_edge"], "long_side": SIDES["longest_edge"]}
        return plugins.make(
            "segmenters", "grounding_dino_sam", Segmenter, {**paths, **sides, **options}
        )

    return made


@pytest.fixture(scope="module")
def original(make: Callable[..., Segmenter]) -> GroundingDinoSam:
    plugin = make()
    plugin.setup()
    assert isinstance(plugin, GroundingDinoSam)
    return plugin


@pytest.fixture(scope="module")
def dino(files: Path, converting: ModuleType) -> Any:
    return converting.transformers_dino(files / "bert", weights_of(files / "dino.pth"))


@pytest.fixture(scope="module")
def sam(files: Path, converting: ModuleType) -> Any:
    return converting.transformers_sam(weights_of(files / "sam.pth"))


def weights_of(path: Path) -> dict[str, Any]:
    import torch

    found = torch.load(path, weights_only=True)
    return {k.removeprefix("module."): v for k, v in found.get("model", found).items()}


def photograph(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Image:
    """Coloured patches of 8 pixels; not to be written to, as decoders give them."""
    drawn = np.random.default_rng(seed)
    patches = drawn.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    image = patches.repeat(8, 0).repeat(8, 1)[:height, :width]
    image.flags.writeable = False
    return image


def ask(image: Image, name: str = "cat") -> SegmentRequest:
    return SegmentRequest(f"c/{name}/original", image, name, 0)


def found(plugin: Segmenter, image: Image, name: str = "cat") -> Segmentation:
    (answer,) = plugin.segment([ask(image, name)])
    assert isinstance(answer, Segmentation)
    return answer


def overlap(one: Any, other: Any) -> float:
    return float((one & other).sum() / (one | other).sum())


# The same weights, the other library.


@pytest.mark.parametrize("text", TEXTS)
def test_the_detector_answers_as_transformers_does(
    original: GroundingDinoSam, dino: Any, text: str
) -> None:
    import torch

    originals.quieten()
    seen = original.seen(photograph(1))[None]
    words = original._detector.tokenizer([text], return_tensors="pt")
    with torch.inference_mode():
        ours = original._detector(seen, captions=[text])
        theirs = dino(pixel_values=seen, **words)
    used = torch.isfinite(theirs.logits)
    assert used.sum() == 20 * words["input_ids"].shape[1]
    assert (torch.isfinite(ours["pred_logits"]) == used).all()
    torch.testing.assert_close(ours["pred_logits"][used], theirs.logits[used], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ours["pred_boxes"], theirs.pred_boxes, atol=1e-3, rtol=0)
    assert ours["pred_boxes"].std(1).min() > 0.01, "boxes that are all alike agree with anything"


def test_masks_are_those_of_transformers(original: GroundingDinoSam, sam: Any) -> None:
    import torch
    from transformers import SamImageProcessor

    image = photograph(2)
    boxes = torch.tensor([[8.0, 10.0, 60.0, 50.0], [40.0, 30.0, 90.0, 70.0]])
    predictor = original._predictor
    predictor.set_image(image)
    prompts = predictor.transform.apply_boxes_torch(boxes, image.shape[:2])
    ours, _, _ = predictor.predict_torch(None, None, prompts, multimask_output=False)
    square = {"height": 64, "width": 64}
    processor = SamImageProcessor(size={"longest_edge": 64}, pad_size=square)
    inputs = processor(images=[image.copy()], return_tensors="pt")
    with torch.inference_mode():
        answer = sam(
            pixel_values=inputs["pixel_values"], input_boxes=prompts[None], multimask_output=False
        )
    (theirs,) = processor.post_process_masks(
        answer.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    for mine, other in zip(ours[:, 0], theirs[:, 0], strict=True):
        assert 0.02 < mine.float().mean() < 0.98
        assert overlap(mine, other) > 0.99
    assert overlap(ours[0, 0], ours[1, 0]) < 0.95, "a mask that is the same for every box"


@pytest.fixture(scope="module")
def grounded_sam(files: Path, dino: Any, sam: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The other form, on the same weights saved by transformers."""
    import transformers as hf

    folder = tmp_path_factory.mktemp("transformers")
    dino.save_pretrained(folder / "detector")
    tokenizer = hf.AutoTokenizer.from_pretrained(files / "bert")
    images = hf.GroundingDinoImageProcessor(size=SIDES)
    hf.GroundingDinoProcessor(images, tokenizer).save_pretrained(folder / "detector")
    sam.save_pretrained(folder / "sam")
    square = {"height": 64, "width": 64}
    hf.SamImageProcessor(size={"longest_edge": 64}, pad_size=square).save_pretrained(folder / "sam")
    paths = {"detector": str(folder / "detector"), "sam": str(folder / "sam")}
    plugin = plugins.make("segmenters", "grounded_sam", Segmenter, paths)
    plugin.setup()
    return plugin


def agree(one: Segmentation, other: Segmentation) -> None:
    """Scores and boxes to 1e-3 of their range, masks to an IoU of 0.99; text and phrases."""
    height, width = one.mask.shape
    for key, span in (("scores", 1), ("boxes", [width, height] * 2), ("outline_scores", 1)):
        ours, theirs = (np.array(answer.params[key]) / span for answer in (one, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-3, rtol=0)
    assert one.params["phrases"] == other.params["phrases"]
    assert one.params["text"] == other.params["text"]
    assert 0.02 < one.mask.mean() < 0.98
    assert overlap(one.mask, other.mask) > 0.99


@pytest.mark.parametrize(("seed", "name"), [(1, "cat"), (2, "St. Bernard"), (3, "red bird")])
def test_both_forms_find_the_same_boxes_and_outlines(
    original: GroundingDinoSam, grounded_sam: Any, seed: int, name: str
) -> None:
    image = photograph(seed)
    ours, theirs = (found(plugin, image, name) for plugin in (original, grounded_sam))
    assert len(ours.params["scores"]) > 2  # type: ignore[arg-type]
    agree(ours, theirs)


@pytest.mark.parametrize("size", [(90, 120), (61, 60), (50, 51)])
def test_resized_by_pillow_both_forms_find_the_same(
    original: GroundingDinoSam,
    grounded_sam: Any,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    from transformers import GroundingDinoImageProcessorPil

    monkeypatch.setattr(grounded_sam.detector, "images", GroundingDinoImageProcessorPil(size=SIDES))
    image = photograph(1, *size)
    agree(*(found(plugin, image) for plugin in (original, grounded_sam)))


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (224, 224), (80, 110)])
def test_what_both_forms_see_differs_by_a_grey_level_here_and_there(
    make: Callable[..., Segmenter], size: tuple[int, int]
) -> None:
    from transformers import GroundingDinoImageProcessor

    plugin = make(short_side=200, long_side=333)
    assert isinstance(plugin, GroundingDinoSam)
    image = photograph(1, *size)
    processor = GroundingDinoImageProcessor(size={"shortest_edge": 200, "longest_edge": 333})
    (theirs,) = processor(images=[image.copy()], return_tensors="pt")["pixel_values"]
    far = (plugin.seen(image) - theirs).abs()
    assert far.max() < 1.01 / 255 / 0.224
    assert (far > 1e-5).float().mean() < 0.05


def test_a_long_photograph_can_be_a_pixel_longer_for_transformers(
    make: Callable[..., Segmenter],
) -> None:
    from transformers import GroundingDinoImageProcessor

    plugin = make(short_side=800, long_side=1333)
    assert isinstance(plugin, GroundingDinoSam)
    image = photograph(1, 20, 60)
    theirs = GroundingDinoImageProcessor()(images=[image.copy()], return_tensors="pt")[
        "pixel_values"
    ]
    assert plugin.seen(image).shape == (3, 444, 1332)
    assert theirs.shape == (1, 3, 444, 1333)


# What is looked at.


def test_boxes_scores_and_phrases_are_kept(original: GroundingDinoSam) -> None:
    answer = found(original, photograph(1))
    assert answer.mask.shape == (HEIGHT, WIDTH)
    assert answer.mask.dtype == np.bool_
    assert 0 < answer.mask.mean() < 1
    scores, boxes, phrases = (answer.params[name] for name in ("scores", "boxes", "phrases"))
    assert isinstance(scores, list)
    assert isinstance(boxes, list)
    assert isinstance(phrases, list)
    assert len(scores) == len(boxes) == len(phrases) > 1
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0.3
    assert all(left < right and top < bottom for left, top, right, bottom in boxes)
    assert any("foreground objects" in str(phrase) for phrase in phrases)
    assert not any(mark in str(phrase) for phrase in phrases for mark in ("[", "."))
    outline_scores = answer.params["outline_scores"]
    assert isinstance(outline_scores, list)
    assert len(outline_scores) == len(scores)
    assert original.model is not None
    assert original.model.startswith("dino.pth@")


def test_another_text_finds_other_boxes(original: GroundingDinoSam) -> None:
    image = photograph(1)
    cat, bird = (found(original, image, name).params for name in ("cat", "bird"))
    assert cat["scores"] != bird["scores"]
    assert cat["boxes"] != bird["boxes"]


def test_another_photograph_has_other_boxes_and_another_mask(original: GroundingDinoSam) -> None:
    one, other = (found(original, photograph(seed)) for seed in (1, 3))
    assert one.params["boxes"] != other.params["boxes"]
    assert overlap(one.mask, other.mask) < 0.95


def test_the_mask_is_what_sam_sees_in_the_boxes_united(
    make: Callable[..., Segmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    plugin = make()
    plugin.setup()
    image = photograph(2)
    boxes = torch.tensor([[8.0, 10.0, 60.0, 50.0], [40.0, 30.0, 90.0, 70.0]])

    def with_boxes(chosen: Any) -> Any:
        count = len(chosen)
        answer = Found(chosen, [0.5] * count, ["cat"] * count, 0.5)
        monkeypatch.setattr(plugin, "detect", lambda _image, _text: answer)
        return found(plugin, image).mask

    first, second = with_boxes(boxes[:1]), with_boxes(boxes[1:])
    assert overlap(first, second) < 0.95
    assert (with_boxes(boxes) == (first | second)).all()


def test_the_image_changes_the_mask_of_the_same_box(
    make: Callable[..., Segmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    plugin = make()
    plugin.setup()
    box = torch.tensor([[8.0, 10.0, 60.0, 50.0]])
    monkeypatch.setattr(plugin, "detect", lambda *_: Found(box, [0.5], ["cat"], 0.5))
    masks = [found(plugin, photograph(seed)).mask for seed in (1, 3)]
    assert overlap(*masks) < 0.98


def test_photographs_do_not_influence_each_other(original: GroundingDinoSam) -> None:
    images = [photograph(1), photograph(4, 50, 120), photograph(5, 90, 70)]
    together = original.segment([ask(image) for image in images])
    for image, answer in zip(images, together, strict=True):
        alone = found(original, image)
        assert isinstance(answer, Segmentation)
        assert answer.params == alone.params
        assert (answer.mask == alone.mask).all()
        assert answer.mask.shape == image.shape[:2]


def test_nothing_above_the_threshold_is_no_detection(
    make: Callable[..., Segmenter], original: GroundingDinoSam
) -> None:
    plugin = make(box_threshold=1)
    plugin.setup()
    (answer,) = plugin.segment([ask(photograph(1))])
    assert isinstance(answer, Rejected)
    assert answer.reason == "no_detection"
    assert [answer.params[name] for name in ("scores", "boxes", "phrases")] == [[], [], []]
    scores = found(original, photograph(1)).params["scores"]
    assert isinstance(scores, list)
    assert answer.params["best_score"] == scores[0]


def test_thresholds_decide_which_boxes_and_words_count(
    make: Callable[..., Segmenter], original: GroundingDinoSam
) -> None:
    image = photograph(1)
    wide = found(original, image).params
    plugin = make(box_threshold=0.8, text_threshold=0.9)
    plugin.setup()
    strict = found(plugin, image).params
    scores = wide["scores"]
    assert isinstance(scores, list)
    kept = [score for score in scores if isinstance(score, float) and score > 0.8]
    assert 0 < len(kept) < len(scores)
    assert strict["scores"] == kept
    assert wide["phrases"][: len(kept)] != strict["phrases"]  # type: ignore[index]


def test_the_text_is_the_papers_unless_another_is_given(
    make: Callable[..., Segmenter], original: GroundingDinoSam
) -> None:
    image = photograph(1)
    for plugin, wanted in (
        (original, "st bernard, foreground objects."),
        (make(text=" A {class_name}. Object. "), "a st bernard. object."),
    ):
        plugin.setup()
        answer = found(plugin, image, "St. Bernard")
        assert answer.params["text"] == wanted


def test_the_detector_sees_the_photograph_at_the_papers_size(
    make: Callable[..., Segmenter],
) -> None:
    plugin = make(short_side=800, long_side=1333)
    assert isinstance(plugin, GroundingDinoSam)
    assert plugin.seen(photograph(1, 30, 40)).shape == (3, 800, 1066)
    assert plugin.seen(photograph(1, 20, 60)).shape == (3, 444, 1332)
    grey = np.full((800, 800, 3), 128, np.uint8)
    seen = plugin.seen(grey)[:, 0, 0].numpy()
    wanted = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen, wanted, rtol=1e-5)


# The packages' own models.


def test_the_detector_answers_as_one_made_by_the_packages_constructor(
    original: GroundingDinoSam, files: Path, converting: ModuleType
) -> None:
    import torch

    originals.quieten()
    wanted = converting.original_grounding_dino(
        converting.tiny_configuration(files / "bert"), converting.SWIN
    ).eval()
    wanted.load_state_dict(weights_of(files / "dino.pth"))
    wanted.bert.register_forward_pre_hook(originals._for_all_heads, with_kwargs=True)
    seen = original.seen(photograph(1))[None]
    with torch.inference_mode():
        ours, theirs = (model(seen, captions=TEXTS[1:]) for model in (original._detector, wanted))
    assert torch.equal(ours["pred_boxes"], theirs["pred_boxes"])
    assert torch.equal(ours["pred_logits"], theirs["pred_logits"])


@pytest.mark.parametrize("backbone", ["swin_T_224_1k", "swin_B_384_22k"])
def test_published_detectors_are_rebuilt_array_by_array(
    files: Path, converting: ModuleType, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    # The package reads its rates of dropping from an array, which meta tensors do not have.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    originals.quieten()
    configuration = converting.published_configuration(
        backbone=backbone, text_encoder_type=str(files / "bert")
    )
    tokenizer, text = originals.text_parts(files / "bert", "here")
    with torch.device("meta"):
        wanted = converting.original_grounding_dino(configuration).state_dict()
        sizes = originals._detector_sizes(wanted, "here")
        ours = originals._detector(sizes, tokenizer, text).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in wanted.items()}
    for name, value in vars(configuration).items():
        if name not in ("backbone", "use_checkpoint", "use_transformer_ckpt", "text_encoder_type"):
            assert getattr(sizes, name) == value, name


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_published_segmenters_are_rebuilt_array_by_array(size: str) -> None:
    import torch
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        wanted = sam_model_registry[size]()
        ours = originals._segmenter(originals._sam_sizes(wanted.state_dict(), "here"))
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in wanted.state_dict().items()
    }
    for mine, other in zip(ours.image_encoder.blocks, wanted.image_encoder.blocks, strict=True):
        assert mine.window_size == other.window_size
        assert mine.attn.num_heads == other.attn.num_heads
    assert str(ours) == str(wanted)
    assert ours.image_encoder.img_size == wanted.image_encoder.img_size == 1024


def test_deformable_attention_is_the_packages_python(
    original: GroundingDinoSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundingdino.models.GroundingDINO import ms_deform_attn

    assert not hasattr(ms_deform_attn, "_C")
    right = ms_deform_attn.multi_scale_deformable_attn_pytorch
    calls: list[int] = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return right(*arguments)

    monkeypatch.setattr(ms_deform_attn, "multi_scale_deformable_attn_pytorch", counted)
    found(original, photograph(1))
    assert len(calls) == 4  # two layers that encode, two that decode


# What can be wrong.


def refused(plugin: Segmenter, *said: str) -> None:
    with pytest.raises(WeightsError) as caught:
        plugin.setup()
    line = caught.value.line()
    assert caught.value.exit_code == 2
    assert "\n" not in line
    for part in said:
        assert part in line, line


def test_a_checkpoint_of_another_model_is_refused(
    make: Callable[..., Segmenter], files: Path, tmp_path: Path
) -> None:
    import torch

    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"model": {"step": 3}}, tmp_path / "step.pth")
    for option, kind, files_of_others in (
        ("detector", "Grounding DINO", [files / "sam.pth", tmp_path / "linear.pth"]),
        ("sam", "SAM", [files / "dino.pth", tmp_path / "linear.pth"]),
    ):
        for path in files_of_others:
            refused(make(**{option: str(path)}), f"sam.{option}: ", f"is not one of {kind}")
        refused(make(**{option: str(tmp_path / "list.pth")}), "holds no weights by name")
        refused(make(**{option: str(tmp_path / "step.pth")}), "holds other things than weights")


def test_a_checkpoint_that_lacks_something_is_refused(
    make: Callable[..., Segmenter], files: Path, tmp_path: Path
) -> None:
    import torch

    for option, file, lost in (
        ("detector", "dino.pth", "feat_map.weight"),
        ("sam", "sam.pth", "mask_decoder.iou_token.weight"),
    ):
        weights = weights_of(files / file)
        del weights[lost]
        torch.save(weights, tmp_path / file)
        refused(make(**{option: str(tmp_path / file)}), f"lacks {lost}")


def test_arrays_that_do_not_fit_together_are_refused(
    make: Callable[..., Segmenter], files: Path, tmp_path: Path
) -> None:
    import torch

    weights = weights_of(files / "dino.pth")
    weights["feat_map.weight"] = torch.zeros(3, 3)
    torch.save(weights, tmp_path / "dino.pth")
    refused(make(detector=str(tmp_path / "dino.pth")), "does not fit together", "feat_map.weight")


def test_a_file_that_is_cut_off_is_refused(
    make: Callable[..., Segmenter], files: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "sam.pth"
    for kept in (0, 10, 20_000):
        cut.write_bytes((files / "sam.pth").read_bytes()[:kept])
        refused(make(sam=str(cut)), "cannot be read as a checkpoint", "may be cut off")


def test_code_in_a_checkpoint_is_not_run(make: Callable[..., Segmenter], tmp_path: Path) -> None:
    import torch

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model": Trap()}, tmp_path / "trap.pth")
    refused(make(detector=str(tmp_path / "trap.pth")), "cannot be read as a checkpoint")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_file_is_named_before_anything_is_made(
    make: Callable[..., Segmenter], tmp_path: Path
) -> None:
    for option in ("detector", "sam", "text_encoder"):
        plugin = make(**{option: str(tmp_path / "gone")})
        with pytest.raises(WeightsError, match=rf"grounding_dino_sam\.{option}: .*gone"):
            plugin.check()
        refused(plugin, f"grounding_dino_sam.{option}: ", "gone")


def test_other_weights_than_those_pinned_are_refused(
    make: Callable[..., Segmenter], files: Path
) -> None:
    actual = hashlib.sha256((files / "sam.pth").read_bytes()).hexdigest()
    make(sam_sha256=actual.upper()).setup()
    refused(make(sam_sha256="0" * 64), f"has the SHA-256 {actual}, not {'0' * 64}", "sam_sha256")
    with pytest.raises(PluginError, match="sam_sha256"):
        make(sam_sha256="abc")


def test_a_text_encoder_without_tokenizer_or_marks_is_refused(
    make: Callable[..., Segmenter], files: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((files / "bert" / "config.json").read_bytes())
    refused(make(text_encoder=str(tmp_path)), "text_encoder: ", str(tmp_path))
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    refused(make(text_encoder=str(tmp_path)), "text_encoder: ", "no text encoder in")


def test_packages_that_are_missing_are_named(
    make: Callable[..., Segmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        plugins.importlib.util,
        "find_spec",
        lambda name: None if name == "groundingdino" else real(name),
    )
    with pytest.raises(MissingExtraError) as caught:
        make()
    assert "groundingdino, not installed here" in caught.value.line()
    assert "pip install 'covar-gen[groundingdino]'" in caught.value.line()


def test_a_text_without_the_class_is_refused(make: Callable[..., Segmenter]) -> None:
    with pytest.raises(PluginError, match="text"):
        make(text="foreground objects")


# The Hub.


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub: Path, repo: str, file: str, content: Path) -> None:
    folder = hub / f"models--{repo.replace('/', '--')}"
    place = folder / "snapshots" / ("a" * 40) / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(content)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("a" * 40, encoding="utf-8")


def test_without_a_network_the_missing_files_are_named(
    make: Callable[..., Segmenter], hub: Path
) -> None:
    refused(
        make(detector=None),
        "grounding_dino_sam.detector: ShilongLiu/GroundingDINO is neither in the cache",
        "missing: groundingdino_swint_ogc.pth",
        "hf download ShilongLiu/GroundingDINO; then",
        "copy the file here and write its path",
    )
    refused(make(sam=None, sam_repo="me/sam@v1"), "hf download me/sam --revision v1", "vit_h")
    refused(make(text_encoder=None), "hf download google-bert/bert-base-uncased", "config.json")


def test_where_the_hub_must_not_be_asked_it_is_said_before_anything_is_made(
    make: Callable[..., Segmenter], hub: Path
) -> None:
    for option in ("detector", "sam", "text_encoder"):
        with pytest.raises(WeightsError, match=rf"grounding_dino_sam\.{option}: "):
            make(**{option: None}).check()
    assert not hub.exists()


def test_files_of_the_hub_are_found_in_its_cache(
    make: Callable[..., Segmenter], files: Path, hub: Path
) -> None:
    for file in sorted((files / "bert").iterdir()):
        cached(hub, "me/bert", file.name, file)
    cached(hub, "me/dino", "weights/tiny.pth", files / "dino.pth")
    options = {"detector_repo": "me/dino", "text_encoder_repo": "me/bert", "text_encoder": None}
    plugin = make(detector=None, detector_file="weights/tiny.pth", **options)
    plugin.setup()
    found(plugin, photograph(1))
    refused(make(detector=None, detector_file="other.pth", **options), "has no file other.pth")


def test_published_files_must_be_what_their_authors_published(
    make: Callable[..., Segmenter], files: Path, hub: Path
) -> None:
    cached(hub, "ShilongLiu/GroundingDINO", "groundingdino_swint_ogc.pth", files / "dino.pth")
    plugin = make(detector=None)
    refused(plugin, f"not {PUBLISHED['groundingdino_swint_ogc.pth']}")


# Identity.


def test_the_weights_content_is_part_of_the_identity_and_their_place_is_not(
    make: Callable[..., Segmenter], files: Path, tmp_path: Path
) -> None:
    import torch

    moved = tmp_path / "moved.pth"
    moved.write_bytes((files / "sam.pth").read_bytes())
    assert make(sam=str(moved)).identity() == make().identity()
    torch.save(weights_of(files / "sam.pth") | {"more": torch.zeros(1)}, moved)
    assert make(sam=str(moved)).identity() != make().identity()
    for other in ({"text": "a {class_name}"}, {"box_threshold": 0.35}, {"short_side": 64}):
        assert make(**other).identity() != make().identity()


def test_pinned_weights_are_identified_without_being_there(
    make: Callable[..., Segmenter], hub: Path
) -> None:
    about = make(detector=None, sam=None).identity()["options"]
    assert isinstance(about, dict)
    assert about["detector"] == PUBLISHED["groundingdino_swint_ogc.pth"]
    assert about["sam"] == PUBLISHED["sam_vit_h_4b8939.pth"]
    assert not hub.exists()
