from pathlib import Path

import numpy as np
import pytest

from covar_gen.core import imagenet
from covar_gen.core.errors import LabelsError, MissingExtraError
from covar_gen.evaluation import imagenet_lists
from covar_gen.evaluation.data import Label
from covar_gen.evaluation.data.base import labels_of
from covar_gen.evaluation.labels import GENERIC, ClassList, assign, class_list
from covar_gen.evaluation.rows import CLASSES

PLACE = "photos"


def chosen(choice: str, templates: str = "auto", *labels: Label) -> ClassList:
    return class_list(choice, templates, labels, PLACE)


def refusal(choice: str, templates: str = "generic", *labels: Label) -> LabelsError:
    with pytest.raises(LabelsError) as caught:
        chosen(choice, templates, *labels)
    assert "\n" not in caught.value.line()
    return caught.value


def unassigned(classes: ClassList, *names: str) -> LabelsError:
    with pytest.raises(LabelsError) as caught:
        assign(labels_of(names), classes, PLACE)
    assert caught.value.where == PLACE
    return caught.value


def test_imagenet_has_a_thousand_classes_of_which_two_pairs_share_a_name() -> None:
    found = chosen("imagenet")
    assert len(found.names) == len(found.wnids) == 1000
    assert len(set(found.names)) == 998
    assert found.imagenet == tuple(range(1000))
    assert (found.names[657], found.names[836]) == ("missile", "sunglasses")
    merged = {place: group for place, group in enumerate(found.groups) if place != group}
    assert merged == {744: 657, 837: 836}


def test_names_and_wnids_of_the_packages_are_of_the_same_classes() -> None:
    assert imagenet_lists.wnids() == tuple(imagenet.by_wnid())
    found = chosen("imagenet")
    known = {"n01440764": "tench", "n02391049": "zebra", "n15075141": "toilet paper"}
    assert {w: found.names[found.wnids.index(w)] for w in known} == known


def test_the_lists_are_those_that_open_clip_itself_uses() -> None:
    from open_clip.zero_shot_metadata import (
        IMAGENET_CLASSNAMES,
        OPENAI_IMAGENET_TEMPLATES,
        SIMPLE_IMAGENET_TEMPLATES,
    )

    found = chosen("imagenet")
    assert list(found.names) == list(IMAGENET_CLASSNAMES)
    for name, originals in (
        ("openai", OPENAI_IMAGENET_TEMPLATES),
        ("simple", SIMPLE_IMAGENET_TEMPLATES),
    ):
        made = chosen("imagenet", name)
        for index in (0, 657, 999):
            assert made.prompts(index) == [make(made.names[index]) for make in originals]
    assert len(found.templates) == 80
    assert len(chosen("imagenet", "simple").templates) == 7


@pytest.mark.parametrize("name", ["a", "r"])
def test_the_subsets_of_imagenet_have_timms_two_hundred_indices(name: str) -> None:
    import timm

    indices = Path(timm.__file__).parent / f"data/_info/imagenet_{name}_indices.txt"
    found = chosen(f"imagenet-{name}")
    assert list(found.imagenet) == [int(line) for line in indices.read_text().split()]
    assert len(found.names) == len(set(found.names)) == 200
    full = chosen("imagenet")
    for place, index in enumerate(found.imagenet):
        assert index is not None
        assert full.wnids[index] == found.wnids[place]
        assert full.names[index] == found.names[place]


def test_known_classes_of_the_subsets_are_at_their_indices() -> None:
    natural, renditions = chosen("imagenet-a"), chosen("imagenet-r")
    at = dict(zip(natural.wnids, natural.imagenet, strict=True))
    assert (at["n01498041"], at["n12267677"]) == (6, 988)
    at = dict(zip(renditions.wnids, renditions.imagenet, strict=True))
    assert (at["n01443537"], at["n02391049"]) == (1, 340)
    assert "n02391049" not in natural.wnids


def test_templates_follow_the_classes_unless_they_are_named() -> None:
    for choice in ("imagenet", "imagenet-a", "imagenet-r"):
        found = chosen(choice)
        assert (found.source, found.template_source, len(found.templates)) == (choice, "openai", 80)
    found = chosen("labels", "auto", Label("polar_bear"))
    assert found.templates == (GENERIC,)
    assert (found.source, found.template_source) == ("labels", "generic")
    assert found.prompts(0) == ["a photo of a polar bear."]
    assert chosen("labels", "simple", Label("x")).template_source == "simple"


def test_data_of_imagenet_classes_get_all_thousand_and_others_their_own() -> None:
    by_index, by_wnid = Label("Zebra striped", None, 340), Label("n01443537", "n01443537", 1)
    by_name, by_synonyms = Label("Great_White_Shark"), Label("tench, Tinca tinca")
    assert chosen("auto", "auto", by_index, by_wnid, by_name, by_synonyms).source == "imagenet"
    for other in (Label("missile"), Label("gnu"), Label("n00007846", "n00007846")):
        found = chosen("auto", "auto", by_index, other)
        assert (found.source, found.template_source) == ("labels", "generic")
        assert len(found.names) == 2


def test_labels_are_assigned_by_index_then_wnid_then_name() -> None:
    classes = chosen("imagenet")
    labels = [
        Label("tench", "n01443537", 999),
        Label("tench", "n01443537"),
        Label("TENCH"),
        Label("great_white shark"),
        Label("tench, Tinca tinca"),
        Label("n02391049", "n02391049", 340),
        Label("missile", None, 744),
        Label("grey whale, gray whale, devilfish"),
    ]
    found = assign(labels, classes, PLACE)
    assert found.dtype == np.int32
    assert found.tolist() == [999, 1, 0, 2, 0, 340, 744, 147]


def test_labels_of_a_subset_are_assigned_to_its_own_places() -> None:
    classes = chosen("imagenet-r")
    found = assign(labels_of(["n02391049", "goldfish"]), classes, PLACE)
    assert [classes.names[place] for place in found] == ["zebra", "goldfish"]
    assert found[0] != 340
    assert "'tench' is not among the 200 classes (imagenet-r)" in unassigned(classes, "tench").what


def test_a_name_that_two_classes_bear_is_refused_with_both() -> None:
    classes = chosen("imagenet")
    for name, both in (("missile", "657 and 744"), ("Crane", "134 and 517")):
        error = unassigned(classes, "tench", name)
        assert error.what == f"label {name!r} could be each of the classes {both} (imagenet)"
    alone = chosen("imagenet-r")
    assert alone.imagenet[assign([Label("missile")], alone, PLACE)[0]] == 657


def test_missing_labels_are_counted_and_the_first_three_named() -> None:
    classes = chosen("imagenet")
    error = unassigned(classes, "gnu")
    assert error.what == "label 'gnu' is not among the 1000 classes (imagenet)"
    assert error.mend == "Give --classes labels to take the classes from the data, or a file"
    error = unassigned(classes, "gnu", "tench", "b", "c", "d")
    assert error.what == (
        "4 labels ('gnu', 'b', 'c', ...) are not among the 1000 classes (imagenet)"
    )


def test_the_datas_own_labels_are_its_classes_in_their_order() -> None:
    labels = [Label("hen"), Label("crane"), Label("Crane"), Label("hen"), Label("x", None, 340)]
    classes = chosen("labels", "auto", *labels)
    assert assign(labels, classes, PLACE).tolist() == [0, 1, 2, 3, 4]
    assert classes.names == ("hen", "crane", "Crane", "hen", "x")
    assert classes.groups == (0, 1, 2, 0, 4)
    assert classes.imagenet == (None, None, None, None, 340)


def test_wnids_of_the_datas_own_labels_are_spoken_by_their_names() -> None:
    labels = labels_of(["n01443537", "n00007846"])
    assert chosen("labels", "auto", *labels).names == ("goldfish", "person")
    error = refusal("labels", "auto", *labels_of(["n99999999"]))
    assert error.what == "wnid n99999999 has no name that is known"


def test_numbers_are_no_names() -> None:
    error = refusal("auto", "auto", Label("0"), Label("1"))
    assert error.what == "the labels are numbers (0, ...), which say nothing in a prompt"
    assert "label and class_name" in error.mend


def test_a_list_of_names_is_a_label_set(tmp_path: Path) -> None:
    path = tmp_path / "birds.txt"
    path.write_text("\ufefflandbird\n\n  water bird \n", encoding="utf-8")
    classes = chosen(str(path))
    assert classes.names == ("landbird", "water bird")
    assert (classes.source, classes.template_source) == ("birds.txt", "generic")
    assert assign([Label("Water_bird"), Label("landbird")], classes, PLACE).tolist() == [1, 0]
    assert "label 'duck' is not among the 2 classes (birds.txt)" in unassigned(classes, "duck").what


def test_a_table_of_classes_says_what_the_data_calls_them(tmp_path: Path) -> None:
    path = tmp_path / "birds.csv"
    path.write_text(
        "label,class_name,wnid,imagenet_index,note\n"
        '1,waterbird,,,x\n0,"bird, on land",n01503061,,\n,zebra,,340,\n',
        encoding="utf-8",
    )
    classes = chosen(str(path))
    assert classes.names == ("waterbird", "bird, on land", "zebra")
    assert classes.wnids == (None, "n01503061", None)
    assert classes.imagenet == (None, None, 340)
    labels = [Label("0"), Label("1"), Label("x", "n01503061"), Label("y", None, 340)]
    more = [*labels_of(["n02391049"]), Label("Waterbird"), Label("zebra")]
    assert assign([*labels, *more], classes, PLACE).tolist() == [1, 0, 1, 2, 2, 0, 2]


def test_names_of_a_file_may_be_equal_and_then_need_more_than_a_name(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("class_name,label\ncrane,bird\ncrane,machine\n", encoding="utf-8")
    classes = chosen(str(path))
    assert classes.groups == (0, 0)
    assert assign([Label("machine"), Label("bird")], classes, PLACE).tolist() == [1, 0]
    assert "could be each of the classes 0 and 1 (two.csv)" in unassigned(classes, "crane").what


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\n \n", "the file names no class"),
        ("a.txt", b"h\xffn", "the file is no text in UTF-8"),
        ("a.csv", b"name,label\nx,y\n", "the file has no column class_name"),
        ("a.csv", b"class_name,label\nx,y\n,z\n", "line 3 has no name"),
        ("a.csv", b"class_name,imagenet_index\nx,1000\n", "imagenet_index '1000' is none"),
        ("a.csv", b"class_name,imagenet_index\nx,one\n", "imagenet_index 'one' is none"),
        ("a.csv", b"class_name\n", "the file names no class"),
    ],
)
def test_files_of_classes_with_mistakes_say_which(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = refusal(str(tmp_path / name))
    assert error.what == said
    assert error.where == str(tmp_path / name)


def test_templates_come_from_a_file_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("a {} of {size}.\n\nthe {}, a {}\n", encoding="utf-8")
    found = chosen("labels", str(path), Label("hen"))
    assert found.prompts(0) == ["a hen of {size}.", "the hen, a hen"]
    assert found.template_source == "mine.txt"
    path.write_text("a {}\na photo\n", encoding="utf-8")
    assert refusal("labels", str(path), Label("hen")).what == "template 'a photo' has no {}"
    path.write_text("\n", encoding="utf-8")
    assert refusal("labels", str(path), Label("hen")).what == "the file holds no template"


def test_choices_that_do_not_exist_name_those_that_do() -> None:
    error = refusal("imagnet")
    assert error.what == "--classes 'imagnet': no such choice or file"
    assert "auto, imagenet, imagenet-a, imagenet-r, labels" in error.mend
    error = refusal("imagenet", "opnai")
    assert error.what == "--templates 'opnai': no such choice or file"
    assert "auto, openai, simple, generic" in error.mend


def test_the_digest_names_classes_and_templates_by_content(tmp_path: Path) -> None:
    def digest(text: str, templates: str = "generic", name: str = "a.csv") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return chosen(str(tmp_path / name), templates).digest()

    one = digest("class_name,wnid,imagenet_index,label\na,n00000001,1,x\nb,,,\n")
    assert one == digest(
        "label,class_name,wnid,imagenet_index\nx,a,n00000001,1\n,b,,\n", name="b.csv"
    )
    others = [
        digest("class_name,wnid,imagenet_index,label\nb,,,\na,n00000001,1,x\n"),
        digest("class_name,wnid,imagenet_index,label\nA,n00000001,1,x\nb,,,\n"),
        digest("class_name,wnid,imagenet_index,label\na,n00000002,1,x\nb,,,\n"),
        digest("class_name,wnid,imagenet_index,label\na,n00000001,2,x\nb,,,\n"),
        digest("class_name,wnid,imagenet_index,label\na,n00000001,1,y\nb,,,\n"),
        digest("class_name,wnid,imagenet_index,label\na,n00000001,1,x\nb,,,\n", "simple"),
    ]
    assert len({one, *others}) == 7


def test_the_table_of_classes_has_the_columns_of_the_map(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "class_name,wnid,imagenet_index\ncrane,n02012849,134\ncrane,,\n", encoding="utf-8"
    )
    table = chosen(str(tmp_path / "a.csv")).table()
    assert table.schema.equals(CLASSES, check_metadata=True)
    assert table.to_pydict() == {
        "index": [0, 1],
        "class_name": ["crane", "crane"],
        "wnid": ["n02012849", None],
        "imagenet_index": [134, None],
        "group": [0, 0],
    }


@pytest.mark.parametrize(("package", "of"), [("open_clip", "class_names"), ("timm", "wnids")])
def test_a_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, of: str
) -> None:
    whole = imagenet_lists.importlib.util.find_spec
    monkeypatch.setattr(
        imagenet_lists.importlib.util,
        "find_spec",
        lambda name, *more: None if name == package else whole(name, *more),
    )
    imagenet_lists._lines.cache_clear()
    imagenet_lists._metadata.cache_clear()
    with pytest.raises(MissingExtraError, match=package) as caught:
        getattr(imagenet_lists, of).__wrapped__()
    assert caught.value.mend == "Type: pip install 'covar-gen[evaluate]'"
    imagenet_lists._lines.cache_clear()
    imagenet_lists._metadata.cache_clear()


def test_the_lists_are_read_without_importing_what_stands_on_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from covar_gen.evaluation.labels import class_list\n"
        "assert len(class_list('imagenet', 'openai', [], 'x').templates) == 80\n"
        "assert len(class_list('imagenet-a', 'simple', [], 'x').names) == 200\n"
        "print(sorted({'torch', 'open_clip', 'timm', 'datasets'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.strip() == "[]"
