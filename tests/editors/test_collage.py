"""The collage editor: the object's pixels kept, its edge outside, its scene named."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import RecipeError
from covar_gen.core.plugins import find, make, summary
from covar_gen.editors._scenes.painted import Scene
from covar_gen.editors._scenes.placing import contact_shadow, edge_colours, place, soft_edge
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.editors.collage import Collage


def _request(
    seed: int = 1,
    background: str = "beach",
    background_id: int = 16,
    size: tuple[int, int] = (90, 120),
    **changes: Any,
) -> EditRequest:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, np.bool_)
    mask[size[0] // 4 : -size[0] // 4, size[1] // 3 : -size[1] // 3] = True
    values: dict[str, Any] = {
        "key": "n1/p1/16",
        "image": image,
        "mask": mask,
        "class_name": "cat",
        "background_id": background_id,
        "background": background,
        "prompt": "",
        "seed": seed,
    }
    return EditRequest(**{**values, **changes})


def _answer(request: EditRequest, **options: Any) -> Edit | Rejected:
    (answer,) = Collage(Collage.Options(**options)).edit([request])
    return answer


def _edit(request: EditRequest, **options: Any) -> Edit:
    answer = _answer(request, **options)
    assert isinstance(answer, Edit)
    return answer


def _photographs(
    folder: Path, name: str = "16.png", colour: tuple[int, int, int] = (10, 200, 30)
) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", (64, 64), colour).save(path)
    return path


def test_it_is_found_by_its_file_name_and_says_what_it_does() -> None:
    assert find("editors", "collage", Editor) is Collage
    assert isinstance(make("editors", "collage", Editor, {"feather": 1}), Collage)
    assert "scene" in summary("editors", "collage")


def test_the_object_s_pixels_are_kept_exactly_and_the_rest_is_replaced() -> None:
    request = _request()
    before = request.image.copy(), request.mask.copy()
    edit = _edit(request)
    assert np.array_equal(edit.image[request.mask], request.image[request.mask])
    assert edit.known_pixel_max_diff == 0
    far = soft_edge(request.mask, 2.5) == 0
    assert np.abs(edit.image[far].astype(int) - request.image[far]).mean() > 40
    assert edit.mask is not None
    assert np.array_equal(edit.mask, request.mask)
    assert edit.transform is not None
    assert np.array_equal(edit.transform, np.eye(3))
    assert edit.params == {"scene": "painted", "painting": "beach"}
    assert np.array_equal(request.image, before[0])
    assert np.array_equal(request.mask, before[1])


def test_a_change_inside_the_mask_would_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(image: Image, mask: Mask, *_: Any) -> Image:
        return np.where(mask[..., None], image // 2 + 60, image).astype(np.uint8)

    monkeypatch.setattr("covar_gen.editors.collage.place", careless)
    request = _request()
    edit = _edit(request)
    kept = request.image[request.mask].astype(int)
    assert edit.known_pixel_max_diff == np.abs(kept // 2 + 60 - kept).max() > 0


def test_the_same_item_gives_the_same_bytes_and_another_seed_another_scene() -> None:
    first, again, other = (_edit(_request(seed)).image for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_item_does_not_depend_on_its_batch() -> None:
    requests = [
        _request(seed, name, i) for i, (seed, name) in enumerate([(1, "beach"), (2, "snow")])
    ]
    requests += [_request(3, "outer space"), _request(1, "farmyard", size=(97, 61))]
    collage = Collage()
    together = collage.edit(requests)
    for request, answer in zip(requests, together, strict=True):
        (alone,) = Collage().edit([request])
        if isinstance(answer, Rejected):
            assert answer == alone
        else:
            assert isinstance(alone, Edit)
            assert np.array_equal(answer.image, alone.image)
    backwards = collage.edit(requests[::-1])[::-1]
    first, again = together[0], backwards[0]
    assert isinstance(first, Edit)
    assert isinstance(again, Edit)
    assert np.array_equal(first.image, again.image)
    assert collage.edit([]) == []


def test_an_empty_mask_is_rejected() -> None:
    assert _answer(_request(mask=np.zeros((90, 120), np.bool_))) == Rejected("empty_mask")


def test_a_background_without_a_scene_is_rejected_by_its_description() -> None:
    expected = Rejected("no_scene_for_background", {"background": "outer space"})
    assert _answer(_request(background="outer space")) == expected


def test_a_mask_of_another_size_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="expected bool"):
        _edit(_request(mask=np.ones((5, 5), np.bool_)))


def test_a_photograph_of_the_user_wins_over_the_painted_scene(tmp_path: Path) -> None:
    path = _photographs(tmp_path)
    edit = _edit(_request(), photographs=str(tmp_path))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert edit.params == {"scene": "photograph", "file": "16.png", "sha256": sha256}
    far = soft_edge(_request().mask, 2.5) == 0
    assert (edit.image[far] == (10, 200, 30)).all()
    lacking = _edit(_request(background="snow", background_id=15), photographs=str(tmp_path))
    assert lacking.params == {"scene": "painted", "painting": "snow"}


def test_a_photograph_serves_a_background_that_nobody_paints(tmp_path: Path) -> None:
    _photographs(tmp_path, "outer space.png")
    edit = _edit(_request(background="outer space", background_id=3), photographs=str(tmp_path))
    assert edit.params["scene"] == "photograph"


def test_each_item_draws_one_of_several_photographs(tmp_path: Path) -> None:
    for i in range(3):
        _photographs(tmp_path, f"16/{i}.png", (80 * i, 10, 10))
    files = [
        _edit(_request(seed), photographs=str(tmp_path)).params["file"] for seed in [*range(12), 0]
    ]
    assert set(files) == {"16/0.png", "16/1.png", "16/2.png"}
    assert files[0] == files[-1]


def test_an_unreadable_photograph_rejects_its_item_alone(tmp_path: Path) -> None:
    (tmp_path / "16.png").write_bytes(b"nonsense")
    collage = Collage(Collage.Options(photographs=str(tmp_path)))
    bad, good = collage.edit([_request(), _request(background="snow", background_id=15)])
    assert isinstance(bad, Rejected)
    assert bad.reason == "background_photograph_unreadable"
    assert isinstance(good, Edit)


def test_the_identity_holds_the_folder_s_content_and_not_its_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    _photographs(one)
    _photographs(two)
    first, moved = (Collage(Collage.Options(photographs=str(p))).identity() for p in (one, two))
    assert first == moved
    assert str(tmp_path) not in str(first)
    _photographs(two, colour=(1, 2, 3))
    assert Collage(Collage.Options(photographs=str(two))).identity() != first
    options = Collage().identity()["options"]
    assert options == {"photographs": None, "feather": 2.5, "shadow": 1.0}
    assert Collage(Collage.Options(feather=1)).identity() != Collage().identity()


def test_a_missing_folder_is_refused_before_the_first_batch(tmp_path: Path) -> None:
    collage = Collage(Collage.Options(photographs=str(tmp_path / "none")))
    with pytest.raises(RecipeError, match=r"options\.collage\.photographs"):
        collage.check()


def test_the_soft_edge_lies_outside_the_mask_and_falls_within_its_width() -> None:
    mask = np.zeros((21, 41), np.bool_)
    mask[:, :20] = True
    row = soft_edge(mask, 2.5)[10]
    assert (row[:20] == 1).all()
    assert 1 > row[20] > row[21] > 0
    assert (row[22:] == 0).all()
    assert (soft_edge(mask, 0)[~mask] == 0).all()


def test_the_edge_shows_the_object_s_colour_and_not_the_old_background_s() -> None:
    image = np.full((60, 60, 3), (0, 0, 255), np.uint8)
    mask = np.zeros((60, 60), np.bool_)
    mask[15:45, 15:45] = True
    image[mask] = (0, 0, 200)
    image[17:43, 17:43] = (200, 0, 0)
    # The mask's rim of two pixels still shows the blue of the old background.
    ring = (soft_edge(mask, 2.5) > 0) & ~mask
    colours = edge_colours(image, mask, 2.5)[ring]
    assert colours[:, 0].min() > 150
    assert colours[:, 2].max() < 60
    result = place(image, mask, Scene(np.full_like(image, 128)), 2.5, 1.0)
    assert result[ring][:, 2].max() < 140


def test_thin_objects_lend_their_edge_their_own_colour() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    mask = np.zeros((20, 20), np.bool_)
    mask[10] = True
    image[mask] = (10, 220, 30)
    assert edge_colours(image, mask, 2.5)[9, 10] == pytest.approx([10, 220, 30], abs=0.5)


def test_the_shadow_falls_on_the_ground_under_the_object_s_foot() -> None:
    mask = np.zeros((120, 160), np.bool_)
    mask[30:90, 50:110] = True
    dark = contact_shadow(mask, 0.4)
    assert dark[91, 80] > 0.4
    assert dark[91, 80] > dark[100, 80] > dark[115, 80]
    assert dark[:40].max() == 0
    assert dark[91, 10] < 0.02


def test_no_shadow_falls_on_the_sky() -> None:
    mask = np.zeros((120, 160), np.bool_)
    mask[10:40, 50:110] = True
    assert contact_shadow(mask, 0.2)[41].max() > 0.4
    assert contact_shadow(mask, 0.5)[:57].max() == 0


def test_parts_that_hang_above_the_foot_touch_nothing() -> None:
    mask = np.zeros((120, 160), np.bool_)
    mask[30:90, 40:60] = True
    mask[30:45, 60:140] = True
    dark = contact_shadow(mask, 0.0)
    assert dark[91, 50] > 10 * dark[47, 120]


def test_the_shadow_can_be_switched_off_and_is_left_out_where_nothing_can_stand() -> None:
    request = _request()
    under = (slice(69, 73), slice(50, 70))
    with_shadow, without = (_edit(request, shadow=s).image[under] for s in (1.0, 0.0))
    assert with_shadow.mean() < without.mean() - 5
    floating = _request(background="fluffy white cloud")
    assert np.array_equal(_edit(floating).image, _edit(floating, shadow=0.0).image)
