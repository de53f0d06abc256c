"""The gallery: what stands where, what a page holds, and the page as a browser shows it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from covar_gen.commands.gallery import make_gallery
from covar_gen.commands.gallery_packing import packed
from covar_gen.commands.gallery_rows import lay_out, spread
from covar_gen.core.errors import DamagedRunError

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "parent", "subset", "class_name", "wnid")),
        ("class_id", pa.int32()),
        ("background_id", pa.int32()),
        *((name, pa.string()) for name in ("background", "image", "mask", "sha256")),
        *((name, pa.string()) for name in ("mask_sha256", "status", "reason", "tool")),
        ("seed", pa.int64()),
        ("angle_deg", pa.float64()),
        ("scale_factor", pa.float64()),
        ("transform", pa.list_(pa.list_(pa.float64()))),
    ]
)
GEOMETRY = ("hflip", "vflip", "crop", "rotation", "translate")
VARIANTS = (
    *((name, name) for name in GEOMETRY),
    *((f"viewpoint_{number}", "viewpoint") for number in (1, 2)),
    *((f"scale_{factor}", "scale") for factor in (2, 4, 6, 8)),
)


def picture(value: int, size: tuple[int, int] = (24, 16)) -> bytes:
    """A PNG, (width, height), of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, (value, 255 - value, 90)).save(stream, "PNG")
    return stream.getvalue()


class Run:
    """A run folder in the making, with few different files under many names."""

    def __init__(self, root: Path, files: int = 8) -> None:
        self.root = root
        self.rows: list[dict[str, Any]] = []
        self.pool = []
        mask = np.zeros((16, 24), np.uint8)
        mask[4:12, 6:18] = 255
        stream = io.BytesIO()
        Image.fromarray(mask).save(stream, "PNG")
        for name, data in [
            *((f"{n}.png", picture(n * 7)) for n in range(files)),
            ("mask", stream.getvalue()),
        ]:
            (root / "pool").mkdir(parents=True, exist_ok=True)
            (root / "pool" / name).write_bytes(data)
            self.pool.append((root / "pool" / name, hashlib.sha256(data).hexdigest()))

    def add(self, key: str, parent: str | None, subset: str, **columns: Any) -> None:
        row = {"key": key, "parent": parent, "subset": subset, "status": "ok", **columns}
        row.setdefault("seed", 2**62 + len(self.rows))
        if row["status"] == "ok":
            number = len(self.rows) % (len(self.pool) - 1)
            for kind, digest, (file, sha256) in (
                ("image", "sha256", self.pool[number]),
                ("mask", "mask_sha256", self.pool[-1]),
            ):
                row.setdefault(kind, f"{kind}s/{key}.png")
                row.setdefault(digest, sha256)
                link = self.root / row[kind]
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, link)
        self.rows.append(row)

    def photograph(self, folder: str, stem: str, backgrounds: int, **columns: Any) -> None:
        """A photograph, its changed backgrounds, and eleven variants of each."""
        original = f"{folder}/{stem}/original"
        self.add(original, None, "original", **columns)
        for number in range(1, backgrounds + 1):
            key = f"{folder}/{stem}/{number:02d}"
            about = {"background_id": number, "background": f"place {number}", **columns}
            self.add(key, original, "bg_varied", **about)
            for tail, subset in VARIANTS:
                self.add(f"{key}/{tail}", key, subset, **about)

    def manifest(self) -> pa.Table:
        return pa.Table.from_pylist(self.rows, schema=SCHEMA)

    def gallery(self, **settings: Any) -> tuple[Any, str, dict[str, Any]]:
        """The result, the page, and the data in it."""
        settings = {"title": "a run", **settings}
        result = make_gallery(self.manifest(), self.root, self.root / "gallery", **settings)
        page = result.page.read_text(encoding="utf-8")
        found = re.search(
            r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
        )
        assert found
        return result, page, json.loads(found[1])

    def thumbs(self) -> dict[str, int]:
        folder = self.root / "gallery" / "thumbs"
        return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def unpacked(column: dict[str, Any], length: int) -> list[Any]:
    if "all" in column:
        return [column["all"]] * length
    if "each" in column:
        return list(column["each"])
    return [None if at < 0 else column["words"][at] for at in column["at"]]


def rows_of(manifest: pa.Table, rows: int | None = None) -> dict[str, list[str]]:
    """Base image -> the tails of the keys in its row, from left to right."""
    layout, keys = lay_out(manifest, rows), manifest["key"].to_pylist()
    return {
        keys[base]: [keys[i] for i in layout.images[layout.row == number]]
        for number, base in enumerate(layout.base)
    }


def test_columns_stand_in_the_order_of_the_benchmark_and_own_variants_after_them(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    run.add("c/p/01/sepia", "c/p/01", "sepia")
    run.add("c/p/01/scale_10", "c/p/01", "scale", scale_factor=10.0)
    run.add("c/p/01/blur_2", "c/p/01", "blur")
    run.photograph("c", "p", 1)
    names = [column.name for column in lay_out(run.manifest(), None).columns]
    assert names == [
        *("original", "bg_varied", "hflip", "vflip", "crop", "rotation", "translate"),
        *("viewpoint_1", "viewpoint_2", "scale_2", "scale_4", "scale_6", "scale_8", "scale_10"),
        *("blur_2", "sepia"),
    ]


def test_views_drawn_from_many_poses_share_columns(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number, poses in ((1, (0, 4)), (2, (2, 5))):
        run.add(f"c/p/{number:02d}", "c/p/original", "bg_varied")
        for pose in poses:
            run.add(f"c/p/{number:02d}/viewpoint_{pose}", f"c/p/{number:02d}", "viewpoint")
    names = [column.name for column in lay_out(run.manifest(), None).columns]
    assert names == ["bg_varied", "viewpoint_1", "viewpoint_2"]


def test_a_row_holds_a_base_image_and_its_variants_and_the_first_its_photograph_too(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    run.photograph("c", "p", 2)
    run.add("c/p/02/hflip/sepia", "c/p/02/hflip", "sepia")
    found = rows_of(run.manifest())
    tails = ["", *(f"/{tail}" for tail, _ in VARIANTS)]
    assert found == {
        "c/p/01": ["c/p/original", *(f"c/p/01{tail}" for tail in tails)],
        "c/p/02": [*(f"c/p/02{tail}" for tail in tails), "c/p/02/hflip/sepia"],
    }
    layout, keys = lay_out(run.manifest(), None), run.manifest()["key"].to_pylist()
    assert [keys[i] for i in layout.reference] == ["c/p/original"] * 2


def test_without_changed_backgrounds_the_photographs_are_the_base_images(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for stem in ("p", "q"):
        run.add(f"c/{stem}/original", None, "original")
        run.add(f"c/{stem}/rotation", f"c/{stem}/original", "rotation")
    assert rows_of(run.manifest()) == {
        "c/p/original": ["c/p/original", "c/p/rotation"],
        "c/q/original": ["c/q/original", "c/q/rotation"],
    }
    assert lay_out(run.manifest(), None).reference.tolist() == [-1, -1]


def test_a_rejected_photograph_of_which_nothing_was_made_has_a_row(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.photograph("c", "p", 1)
    run.add("c/q/original", None, "original", status="rejected", reason="truncated")
    assert rows_of(run.manifest())["c/q/original"] == ["c/q/original"]
    _, page, data = run.gallery()
    assert 'data-status="truncated"' in page
    reasons = dict(data["fields"])["reason"]
    assert unpacked(reasons, 14).count("truncated") == 1


def test_a_variant_whose_parent_is_not_in_the_manifest_has_a_row_of_its_own(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    run.add("c/p/01/hflip", "c/p/01", "hflip")
    assert rows_of(run.manifest()) == {"c/p/01/hflip": ["c/p/01/hflip"]}


def test_a_sample_is_even_over_classes_and_backgrounds() -> None:
    # 3 classes, 4 backgrounds, 5 photographs of each pair.
    classes, backgrounds = (grid.ravel() for grid in np.mgrid[:3, :4, :5][:2])
    for count in (1, 3, 7, 12, 25, 59):
        chosen = spread(classes, backgrounds, count)
        assert len(set(chosen.tolist())) == count
        for codes, kinds in ((classes, 3), (backgrounds, 4)):
            counts = np.bincount(codes[chosen], minlength=kinds)
            assert counts.max() - counts.min() <= (1 if kinds == 3 else 2), (count, counts)
    pairs = Counter(
        zip(
            classes[spread(classes, backgrounds, 12)].tolist(),
            backgrounds[spread(classes, backgrounds, 12)].tolist(),
            strict=True,
        )
    )
    assert len(pairs) == 12


def test_more_base_images_than_rows_are_sampled_alike_each_time_and_the_page_says_so(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    for number in range(3):
        run.photograph(f"c{number}", "p", 4, class_id=number, class_name=f"class {number}")
    result, page, data = run.gallery(rows=5)
    assert (result.rows_shown, result.rows_total) == (5, 12)
    assert result.images_shown == len(data["row"]) == 5 * 12 + 3
    assert "This page shows 5 of 12 base images (63 images)" in page
    assert '>bg_varied <span class="count">12</span>' in page
    run.rows.reverse()
    assert run.gallery(rows=5)[1] == page
    assert "This page shows" not in run.gallery(rows=12)[1]


def test_texts_cannot_leave_their_place_in_the_page(tmp_path: Path) -> None:
    run = Run(tmp_path)
    nasty = "</script><script>alert(1)</script><!-- \"q\" 'a' & \u2028 猫"
    run.photograph("c", "p", 1, class_name=nasty, wnid="n1")
    _, page, data = run.gallery(title=nasty)
    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)</" not in page
    assert data["class"] == {"all": nasty}
    assert "<h1>&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_two_classes_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for wnid in ("n02012849", "n03126707"):
        run.photograph(wnid, "p", 1, class_name="crane", wnid=wnid)
    _, page, data = run.gallery()
    assert unpacked(data["class"], 2) == ["crane (n02012849)", "crane (n03126707)"]
    assert '<option value="crane (n02012849)">' in page


def test_missing_damaged_and_exchanged_files_are_counted_and_do_not_stop_it(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    for name in ("a", "b", "c", "d"):
        run.add(f"{name}/p/original", None, "original")
    run.add("e/p/original", None, "original", status="rejected", reason="too_small")
    (tmp_path / "images/a/p/original.png").unlink()
    for name, content in (("b", b"no image"), ("c", picture(200))):
        (tmp_path / f"images/{name}/p/original.png").unlink()
        (tmp_path / f"images/{name}/p/original.png").write_bytes(content)
    (tmp_path / "masks/d/p/original.png").unlink()
    result, page, data = run.gallery()
    assert result.missing == 4
    assert data["image_trouble"] == {"0": "missing file", "1": "damaged file", "2": "damaged file"}
    assert data["mask_trouble"] == {"3": "missing file"}
    assert "4 missing or damaged files" in page


def test_a_file_damaged_after_its_thumbnail_was_made_is_found(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.add("a/p/original", None, "original")
    assert run.gallery()[0].missing == 0
    file = tmp_path / "images/a/p/original.png"
    file.unlink()
    file.write_bytes(b"no image")
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    assert run.gallery()[0].missing == 1


def test_a_path_that_leads_out_of_the_run_is_not_read(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes(picture(1))
    for path in ("../secret.png", str(tmp_path / "secret.png")):
        run.rows.append({"key": f"c/{len(run.rows)}/original", "subset": "original", "image": path})
    assert run.gallery()[0].missing == 2
    assert run.thumbs() == {}


def test_the_same_manifest_gives_the_same_page_whatever_the_threads(tmp_path: Path) -> None:
    pages = []
    for workers in (1, 4):
        run = Run(tmp_path / str(workers) / "run")
        run.photograph("c", "p", 2, transform=[[1.0, 0.0, float("nan")]])
        pages.append(run.gallery(workers=workers)[0].page.read_bytes())
        pages.append(run.gallery(workers=workers)[0].page.read_bytes())
    assert len(set(pages)) == 1
    assert str(tmp_path).encode() not in pages[0]


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    run.add("c/p/original", None, "original")
    before = run.gallery()[0].page.read_bytes()
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == "index.html":
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        run.gallery(title="another")
    files = sorted(file.name for file in (tmp_path / "gallery").iterdir())
    assert files == ["index.html", "thumbs"]
    assert (tmp_path / "gallery/index.html").read_bytes() == before


def test_thumbnails_are_made_once_and_removed_when_nothing_shows_them(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.photograph("c", "p", 1)
    run.gallery()
    made = run.thumbs()
    assert len(made) == 9  # eight pictures and one mask
    (tmp_path / "gallery/thumbs/notes.txt").write_text("mine")
    run.gallery()
    assert {name: run.thumbs()[name] for name in made} == made
    del run.rows[3:]
    run.gallery()
    assert len(run.thumbs()) == 3 + 1 + 1
    assert run.thumbs().items() > {k: v for k, v in made.items() if k in run.thumbs()}.items()
    run.gallery(thumb=10)
    assert not set(run.thumbs()) & set(made)
    assert "notes.txt" in run.thumbs()


def test_a_thumbnail_and_its_mask_have_the_same_size_and_the_mask_is_clear_around_the_object(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path)
    run.add("c/p/original", None, "original")
    run.gallery(thumb=12)
    files = {Path(name).suffix: tmp_path / "gallery/thumbs" / name for name in run.thumbs()}
    with Image.open(files[".jpg"]) as image, Image.open(files[".png"]) as mask:
        assert image.size == mask.size == (12, 8)
        alpha = np.asarray(mask.convert("RGBA"))[..., 3]
    # The object, 12 by 8 of 24 by 16 pixels, is 6 by 4 of 12 by 8: all rim but its middle.
    assert (alpha[2:6, 3:9] == 255).all()
    assert (alpha[1, 3:9] == alpha[6, 3:9]).all()
    assert 0 < alpha[1, 3] < 255
    assert (alpha[0] == 0).all()
    assert (alpha[:, :2] == 0).all()


def test_numbers_too_large_for_the_script_stay_exact(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.add("c/p/original", None, "original", seed=2**63 - 1, angle_deg=-12.3456789)
    fields = dict(run.gallery()[2]["fields"])
    assert fields["seed"] == {"all": "9223372036854775807"}
    assert fields["angle_deg"] == {"all": -12.3457}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], "all"),
        ([None, None], "all"),
        (["a", "a"], "all"),
        (["a", None, "a", "a"], "words"),
        ([1, True, 0, False, 1, True, 0, False], "words"),
        ([1, 2, 3], "each"),
    ],
)
def test_a_packed_column_unpacks_to_the_same_values(values: list[Any], kind: str) -> None:
    column = packed(values)
    assert kind in column
    assert json.dumps(unpacked(column, len(values))) == json.dumps(values)


def test_a_manifest_without_a_needed_column_is_refused_in_one_line(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.add("c/p/original", None, "original")
    table = run.manifest().drop_columns(["status"])
    with pytest.raises(DamagedRunError, match="no column status"):
        make_gallery(table, tmp_path, tmp_path / "gallery", title="t")


def test_a_manifest_without_rows_gives_a_page(tmp_path: Path) -> None:
    result, page, _ = Run(tmp_path).gallery()
    assert (result.rows_shown, result.images_shown) == (0, 0)
    assert "The manifest has no images." in page


def test_the_page_names_no_address_of_a_network(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.photograph("c", "p", 1)
    page = run.gallery()[1]
    assert not re.findall(r"""(?:https?:|wss?:|["'(]//)[^"'\s]*""", page)
    assert re.findall(r"""(?:src|href)=["'][^"']*""", page) == ['href="data:,']


# --- The page in a browser.


class Element:
    """One element of a dumped page with the text directly in it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes, self.text = tag, attributes, ""

    def has(self, name: str) -> bool:
        return name in (self.attributes.get("class") or "").split()


class Dump(HTMLParser):
    """All elements of a dumped page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1].text += data

    def with_class(self, name: str) -> list[Element]:
        return [element for element in self.elements if element.has(name)]

    def by_id(self, name: str) -> Element:
        return next(one for one in self.elements if one.attributes.get("id") == name)

    def counts(self) -> tuple[int, int]:
        """What the page says it shows: images, rows."""
        shown = self.by_id("shown").attributes
        return int(shown["data-images"] or ""), int(shown["data-rows"] or "")


@pytest.fixture
def browse(browser: Callable[..., str]) -> Any:
    """Open a page from file:// with a text after #, as the browser then has it in memory."""

    def opened(page: Path, fragment: str = "", wait_ms: int = 0) -> Dump:
        budget = [f"--virtual-time-budget={wait_ms}"] if wait_ms else []
        return Dump(browser(page, "--dump-dom", "--window-size=1440,900", *budget, after=fragment))

    return opened


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The gallery of 833 base images, 10,038 images in all: 5 classes, 20 backgrounds."""
    run = Run(tmp_path_factory.mktemp("large"))
    for number in range(42):
        kind = number % 5
        run.photograph(
            f"n{kind}",
            f"p{number:02d}",
            20 if number < 41 else 13,
            class_id=kind,
            class_name=f'class "{kind}" <b>',
            wnid=f"n{kind}",
            tool="telea",
        )
    for row in run.rows[20::1000]:
        row.update(status="rejected", reason="object_outside", image=None, mask=None)
    return run.gallery()[0]


@pytest.mark.browser
def test_ten_thousand_images_open_fast_from_a_file_and_only_what_is_near_is_loaded(
    browse: Any, large: Any
) -> None:
    assert large.images_shown == 833 * 12 + 42 == 10_038
    assert large.page.stat().st_size < 5_000_000
    page = browse(large.page)
    assert len(page.with_class("row")) == 833
    assert page.counts() == (10_038, 833)
    assert float(page.elements[0].attributes["data-drawn"] or "") < 10_000
    tiles = page.with_class("tile")
    assert 12 * 8 < len(tiles) < 12 * 60
    pictures = [one for one in page.elements if one.tag == "img"]
    assert pictures
    assert all(one.attributes["loading"] == "lazy" for one in pictures)
    assert all((one.attributes["src"] or "").startswith("thumbs/") for one in pictures)
    assert all('class "' in (one.attributes["alt"] or "") for one in pictures)


@pytest.mark.browser
def test_filters_in_the_address_combine_and_rejected_tiles_name_their_reason(
    browse: Any, large: Any
) -> None:
    page = browse(large.page, "#class=class+%220%22+%3Cb%3E&background=place+7&subset=scale,hflip")
    # Photographs 0, 5, ..., 40 are of class 0: nine rows, four scales and a flip in each.
    shown = [row for row in page.with_class("row") if "hidden" not in row.attributes]
    assert page.counts() == (9 * 5, 9)
    assert len(shown) == 9
    heads = [one.text for one in page.elements if one.attributes.get("role") == "columnheader"]
    assert heads[1:] == ["original", "hflip", "scale 2", "scale 4", "scale 6", "scale 8"]
    page = browse(large.page, "#status=object_outside&masks=1")
    assert page.counts() == (11, 11)
    wrong = page.with_class("trouble")
    assert len(wrong) == 11
    assert all(one.attributes["aria-label"].endswith("rejected: object_outside") for one in wrong)
    assert page.with_class("mask")
    page = browse(large.page, "#class=unheard")
    assert page.counts() == (0, 0)
    assert "hidden" not in page.by_id("nothing").attributes


@pytest.mark.browser
def test_a_key_in_the_address_opens_its_image_with_its_mask_and_all_its_columns(
    browse: Any, large: Any
) -> None:
    page = browse(large.page, "#masks=1&open=n1/p01/03/rotation")
    assert "open" in page.by_id("box").attributes
    start = page.elements.index(page.by_id("box-picture"))
    image, mask = page.elements[start + 1 : start + 3]
    assert image.attributes["src"] == "../images/n1/p01/03/rotation.png"
    assert mask.attributes["src"] == "../masks/n1/p01/03/rotation.png"
    start = page.elements.index(page.by_id("box-columns"))
    terms = [one.text for one in page.elements[start + 1 :]]
    columns = dict(zip(terms[::2], terms[1::2], strict=False))
    assert columns["key"] == "n1/p01/03/rotation"
    assert columns["class_name"] == 'class "1" <b>'
    assert int(columns["seed"]) > 2**62


@pytest.mark.browser
def test_a_run_without_changed_backgrounds_and_its_missing_files_are_shown(
    browse: Any, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.add("c/p #1%/original", None, "original", class_name="</script>猫")
    run.add("c/p #1%/rotation", "c/p #1%/original", "rotation", angle_deg=-12.34)
    run.add("c/q/original", None, "original")
    (tmp_path / "run/images/c/q/original.png").unlink()
    page = browse(run.gallery()[0].page, "#open=c/p+%231%25/rotation")
    heads = [one.text for one in page.elements if one.attributes.get("role") == "columnheader"]
    assert heads == ["base image", "original", "rotation"]
    assert [one.text for one in page.with_class("caption")] == ["\N{MINUS SIGN}12.3°"]
    assert [one.text for one in page.with_class("trouble")] == ["missing file"]
    assert page.with_class("tile")[0].attributes["data-image"] == "0"
    start = page.elements.index(page.by_id("box-picture"))
    assert page.elements[start + 1].attributes["src"] == "../images/c/p%20%231%25/rotation.png"
    start = page.elements.index(page.with_class("class")[0])
    assert page.elements[start + 1].text == "</script>猫"


@pytest.mark.browser
def test_keys_and_clicks_move_the_focus_toggle_masks_and_step_through_the_box(
    browse: Any, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.photograph("c", "p", 2, class_name="cat")
    page = run.gallery()[0].page
    steps = """
    const said = [];
    const now = () => said.push([
      document.activeElement.dataset.image, document.querySelectorAll("#grid img.mask").length > 0,
      document.getElementById("box").open, location.hash,
    ].join(" "));
    const press = (key) => document.activeElement.dispatchEvent(
      new KeyboardEvent("keydown", { key, bubbles: true }));
    document.querySelector(".tile[data-image='1']").focus(); now();
    press("ArrowRight"); now();
    press("ArrowDown"); now();
    press("m"); now();
    document.activeElement.click(); now();
    press("ArrowLeft"); now();
    press("ArrowLeft"); now();
    // The page's own listener comes first: the box is closed when this one is told.
    document.getElementById("box").addEventListener("close", () => {
      now();
      press("m");
      document.querySelector("[data-subset=crop]").click(); now();
      document.body.dataset.said = said.join("|");
    });
    document.getElementById("box-close").click();
    """
    told = page.with_name("told.html")
    told.write_text(page.read_text().replace("</body>", f"<script>{steps}</script></body>"))
    body = next(one for one in browse(told, wait_ms=5000).elements if one.tag == "body")
    assert (body.attributes["data-said"] or "").split("|") == [
        "1 false false ",
        "2 false false ",
        "14 false false ",
        "14 true false #masks=1",
        " true true #masks=1&open=c/p/02/hflip",
        " true true #masks=1&open=c/p/02",
        " true true #masks=1&open=c/p/01/scale_8",
        "12 true false #masks=1",
        " false false #subset=crop",
    ]
