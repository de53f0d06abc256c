import io
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from covar_gen.core.errors import PhotographsError
from covar_gen.core.imagenet import by_wnid
from covar_gen.sources import skimage as module
from covar_gen.sources.skimage import FACTS, Skimage


def test_there_are_several_classes_three_of_them_of_imagenet() -> None:
    labels = Skimage().labels()
    assert labels == ["astronaut", "motorcycle", "n02123045", "n04485082", "n07920052", "rocket"]
    names = [by_wnid()[label].name for label in labels if re.fullmatch(r"n\d{8}", label)]
    assert names == ["tabby", "tripod", "espresso"]
    assert not Skimage.streams


def test_every_photograph_decodes_and_is_large_enough_to_see_something() -> None:
    source = Skimage()
    found = list(source.photographs(source.labels(), seed=0))
    assert [p.origin for p in found] == [fact.file for fact in FACTS]
    for photograph in found:
        image = Image.open(io.BytesIO(photograph.read()))
        image.load()
        assert min(image.size) >= 300, photograph.origin


def test_only_the_labels_asked_for_are_given() -> None:
    found = list(Skimage().photographs(["motorcycle"], seed=0))
    assert [(p.label, p.name) for p in found] == [
        ("motorcycle", "motorcycle_left"),
        ("motorcycle", "motorcycle_right"),
    ]
    assert found[0].read() != found[1].read()


def test_every_photograph_has_its_credit() -> None:
    assert all(fact.credit and fact.shows for fact in FACTS)
    assert len({fact.file for fact in FACTS}) == len(FACTS)


def test_the_digest_follows_the_labels_and_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Skimage()
    assert source.digest(["rocket"]) == source.digest(["rocket"])
    assert source.digest(["rocket"]) != source.digest(["rocket", "n07920052"])
    before = source.digest(["rocket"])
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    (tmp_path / "rocket.jpg").write_bytes(b"another")
    assert source.digest(["rocket"]) != before
    assert source.labels() == ["rocket"]


def test_a_package_without_its_photographs_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    with pytest.raises(PhotographsError, match="pip install --force-reinstall scikit-image"):
        Skimage().labels()
    with pytest.raises(PhotographsError, match=r"rocket\.jpg: .*No such file"):
        Skimage().digest(["rocket"])


def test_nothing_of_scikit_image_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n == "skimage" or n.startswith("skimage.")]:
        monkeypatch.delitem(sys.modules, name)
    source = Skimage()
    for photograph in source.photographs(source.labels(), seed=0):
        photograph.read()
    assert "skimage" not in sys.modules
