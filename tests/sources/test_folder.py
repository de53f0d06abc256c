import os
from pathlib import Path

import pytest

from covar_gen.core.errors import PhotographsError
from covar_gen.sources.base import PathOptions
from covar_gen.sources.folder import Folder


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"bytes of {path.name} in {path.parent.name}".encode())


def source(root: Path) -> Folder:
    return Folder(PathOptions(path=str(root)))


def origins(root: Path, *labels: str) -> list[str]:
    return [p.origin for p in source(root).photographs(labels or source(root).labels(), seed=0)]


def test_the_folders_are_the_labels_in_order_and_loose_files_are_none(tmp_path: Path) -> None:
    put(tmp_path, "zebra/a.jpg", "n02134084/b.JPEG", "Arabian camel/c.png", "notes.png")
    assert source(tmp_path).labels() == ["Arabian camel", "n02134084", "zebra"]
    assert not Folder.streams


def test_a_photograph_knows_its_class_its_name_its_place_and_its_bytes(tmp_path: Path) -> None:
    put(tmp_path, "hen/deep/er/a b.tar.jpg")
    (photograph,) = source(tmp_path).photographs(["hen"], seed=3)
    assert photograph.label == "hen"
    assert photograph.name == "a b.tar"
    assert photograph.origin == "hen/deep/er/a b.tar.jpg"
    assert photograph.read() == b"bytes of a b.tar.jpg in er"


def test_the_order_is_that_of_the_paths_whatever_the_seed(tmp_path: Path) -> None:
    put(tmp_path, "b/2.jpg", "b/10.jpg", "a/z.jpg", "a/sub/y.jpg", "a/sub.jpg", "b/1.jpg")
    wanted = ["a/sub.jpg", "a/sub/y.jpg", "a/z.jpg", "b/1.jpg", "b/10.jpg", "b/2.jpg"]
    assert origins(tmp_path) == wanted
    again = [p.origin for p in source(tmp_path).photographs(["a", "b"], seed=99)]
    assert again == wanted


def test_only_the_labels_asked_for_are_listed(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    assert origins(tmp_path, "c", "a") == ["c/3.jpg", "a/1.jpg"]


def test_names_of_every_kind_are_photographs(tmp_path: Path) -> None:
    names = [
        "it's.png",
        'say "hi".jpg',
        "a..b.jpg",
        "Äpfel 🍎.webp",
        "no_ending",
        "line\nbreak.jpg",
    ]
    put(tmp_path, *(f"odd, class/{name}" for name in names))
    found = {p.origin: p.name for p in source(tmp_path).photographs(["odd, class"], seed=0)}
    assert found == {
        "odd, class/it's.png": "it's",
        'odd, class/say "hi".jpg': 'say "hi"',
        "odd, class/a..b.jpg": "a..b",
        "odd, class/Äpfel 🍎.webp": "Äpfel 🍎",
        "odd, class/no_ending": "no_ending",
        "odd, class/line\nbreak.jpg": "line\nbreak",
    }


def test_names_that_are_no_utf8_can_still_be_written_down(tmp_path: Path) -> None:
    (tmp_path / "hen").mkdir()
    path = os.fsencode(tmp_path / "hen") + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(path)).write_bytes(b"latin")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (photograph,) = source(tmp_path).photographs(["hen"], seed=0)
    assert photograph.origin == "hen/caf\\xe9.jpg"
    assert photograph.origin.encode()
    assert photograph.read() == b"latin"
    assert len(source(tmp_path).digest(["hen"])) == 64


def test_hidden_files_litter_and_sidecar_text_are_passed_over(tmp_path: Path) -> None:
    put(
        tmp_path, "hen/.DS_Store", "hen/Thumbs.db", "hen/desktop.ini", "hen/._a.jpg", "hen/.x/a.jpg"
    )
    put(tmp_path, "hen/labels.CSV", "hen/a.json", "hen/a.txt", "hen/a.xml", "hen/README.md")
    put(tmp_path, "hen/a.parquet", "hen/a.pdf", "hen/a.jpg", ".git/b.jpg", "__MACOSX/c.jpg")
    assert source(tmp_path).labels() == ["hen"]
    assert origins(tmp_path) == ["hen/a.jpg", "hen/a.pdf"]


def test_the_same_file_name_in_two_folders_is_two_photographs(tmp_path: Path) -> None:
    put(tmp_path, "hen/one/a.jpg", "hen/two/a.jpg")
    found = list(source(tmp_path).photographs(["hen"], seed=0))
    assert [p.name for p in found] == ["a", "a"]
    assert [p.read() for p in found] == [b"bytes of a.jpg in one", b"bytes of a.jpg in two"]


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "else", "far/x.jpg")
    put(tmp_path / "data", "hen/a.jpg")
    (tmp_path / "data/hen/b.jpg").symlink_to(tmp_path / "else/far/x.jpg")
    (tmp_path / "data/hen/more").symlink_to(tmp_path / "else/far")
    (tmp_path / "data/cock").symlink_to(tmp_path / "else/far")
    assert origins(tmp_path / "data") == [
        "cock/x.jpg",
        "hen/a.jpg",
        "hen/b.jpg",
        "hen/more/x.jpg",
    ]


@pytest.mark.parametrize("target", [".", "..", "../../data", "sub"])
def test_a_folder_linked_into_itself_is_listed_once(tmp_path: Path, target: str) -> None:
    put(tmp_path / "data", "hen/a.jpg", "hen/sub/b.jpg", "zebra/c.jpg")
    (tmp_path / "data/hen/sub/loop").symlink_to(tmp_path / "data/hen" / target)
    assert origins(tmp_path / "data", "hen") == ["hen/a.jpg", "hen/sub/b.jpg"]


def test_a_link_to_nothing_or_to_itself_is_a_photograph_that_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path, "hen/a.jpg")
    (tmp_path / "hen/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "hen/self.jpg").symlink_to(tmp_path / "hen/self.jpg")
    found = {p.name: p for p in source(tmp_path).photographs(["hen"], seed=0)}
    assert sorted(found) == ["a", "gone", "self"]
    for name in ("gone", "self"):
        with pytest.raises(OSError, match=name):
            found[name].read()


def test_a_pipe_is_no_photograph_even_by_a_link(tmp_path: Path) -> None:
    put(tmp_path, "hen/a.jpg")
    os.mkfifo(tmp_path / "hen/pipe.jpg")
    (tmp_path / "hen/link.jpg").symlink_to(tmp_path / "hen/pipe.jpg")
    assert origins(tmp_path) == ["hen/a.jpg"]


def test_the_digest_names_content_and_relative_paths_only(tmp_path: Path) -> None:
    put(tmp_path / "one", "hen/a.jpg", "zebra/b.jpg")
    put(tmp_path / "two", "hen/a.jpg", "zebra/b.jpg")
    os.utime(tmp_path / "two/hen/a.jpg", (1, 1))
    one, two = source(tmp_path / "one"), source(tmp_path / "two")
    both = one.digest(["hen", "zebra"])
    assert both == two.digest(["zebra", "hen"])
    assert both != one.digest(["hen"])
    (tmp_path / "two/zebra/b.jpg").write_bytes(b"another")
    assert both != two.digest(["hen", "zebra"])
    assert one.digest(["hen"]) == two.digest(["hen"])


def test_a_file_that_cannot_be_read_is_part_of_the_digest(tmp_path: Path) -> None:
    put(tmp_path, "hen/a.jpg")
    before = source(tmp_path).digest(["hen"])
    (tmp_path / "hen/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    broken = source(tmp_path).digest(["hen"])
    assert broken != before
    assert broken == source(tmp_path).digest(["hen"])
    (tmp_path / "hen/gone.jpg").rename(tmp_path / "hen/lost.jpg")
    assert source(tmp_path).digest(["hen"]) not in (before, broken)


def test_a_class_folder_without_photographs_stays_a_label(tmp_path: Path) -> None:
    put(tmp_path, "hen/a.jpg", "zebra/readme.txt")
    assert source(tmp_path).labels() == ["hen", "zebra"]
    assert origins(tmp_path, "zebra") == []


def test_the_place_of_the_folder_is_no_part_of_its_identity(tmp_path: Path) -> None:
    assert str(tmp_path) not in str(source(tmp_path).identity())


def check(error: PhotographsError, what: str, mend: str) -> None:
    assert what in error.what
    assert mend in error.mend
    assert "\n" not in error.line()


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PhotographsError) as caught:
        source(tmp_path / "nope").labels()
    check(caught.value, "no such folder", "[classes] path")
    assert caught.value.where == str(tmp_path / "nope")


def test_a_file_instead_of_a_folder_says_so(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    with pytest.raises(PhotographsError) as caught:
        source(tmp_path / "a.jpg").labels()
    check(caught.value, "not a folder", "class folders")


def test_photographs_without_class_folders_say_so(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    with pytest.raises(PhotographsError) as caught:
        source(tmp_path).labels()
    check(caught.value, "no class folders", "sub-folder")


def test_class_folders_without_any_photograph_say_so(tmp_path: Path) -> None:
    put(tmp_path, "hen/a.txt", "zebra/b.csv")
    with pytest.raises(PhotographsError) as caught:
        source(tmp_path).labels()
    check(caught.value, "none of the 2 class folders holds a photograph", "photographs")


def test_a_label_without_a_folder_says_so(tmp_path: Path) -> None:
    put(tmp_path, "hen/a.jpg")
    with pytest.raises(PhotographsError) as caught:
        list(source(tmp_path).photographs(["Hen"], seed=0))
    check(caught.value, "no class folder 'Hen'", "label")


def test_imagenets_splits_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/n02134084/a.JPEG", "train/n02391049/b.JPEG", "val/n02134084/c.JPEG")
    with pytest.raises(PhotographsError) as caught:
        source(tmp_path).labels()
    check(caught.value, "'train' is no class: it holds class folders", "[classes] path")
    assert source(tmp_path / "train").labels() == ["n02134084", "n02391049"]


def test_a_folder_that_may_not_be_opened_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "hen/a.jpg", "hen/locked/b.jpg")
    listed = Path.iterdir

    def refuse(self: Path) -> object:
        if self.name == "locked":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PhotographsError) as caught:
        origins(tmp_path, "hen")
    check(caught.value, "cannot be opened: Permission denied", "permission")
