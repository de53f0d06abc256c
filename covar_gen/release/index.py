"""release.json: what a release is and every file of it; and what stands there until it is whole.

    DIR/release.json                written last: a release is complete if and only if it is there
    DIR/.publishing/plan.json       what is being made: the first process to come writes it
    DIR/.publishing/<file>.json     a receipt for each finished file, written before its last name

Nothing of it depends on the machine or the time.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from covar_gen.core.arrays import Json
from covar_gen.core.digests import file_sha256
from covar_gen.core.environment import packages
from covar_gen.core.errors import ReleaseFolderError
from covar_gen.core.files import PROBE, STAGING, Staging
from covar_gen.core.store import PUBLISHING, RELEASE, first_difference
from covar_gen.release.plan import Shard
from covar_gen.release.shards import Written

WORKING = PUBLISHING
"""Folder of what stands beside a release until it is whole."""
TOOLKIT = "covar-gen"
"""The package that writes releases, as release.json names it under made_with."""
NEEDED = ("kind", "name", "recipe_sha256", "manifest_sha256", "encoder")
"""What readers of a release.json rely on, besides its files and counts."""
FORMAT = 1
"""Version of the layout of a release. Whoever reads a number reads every release of it: columns
may be added under the same number, those that readers rely on neither go nor change."""
IMAGES, RECIPE_ONLY = "images", "recipe-only"
"""Kinds of releases: with the images, or with what it takes to make them from photographs."""

Identity = dict[str, Json]
"""What decides the bytes of a release's tables."""
DESCRIBED = ("version", "about", "repo")
"""Keys of release.json that say how a release is described."""


@dataclass(frozen=True)
class Entry:
    """One file of a release.

    Attributes:
        path: inside the release.
        bytes: its size.
        sha256: of the file, in hex.
        rows: in it; None for what is no table, as for the rest.
        first: key of the first row.
        last: key of the last row.
        data_bytes: of its columns in memory, as `datasets` counts them.
    """

    path: str
    bytes: int
    sha256: str
    rows: int | None = None
    first: str | None = None
    last: str | None = None
    data_bytes: int | None = None

    @property
    def config(self) -> str | None:
        """The configuration that a table belongs to."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "data" and self.rows is not None else None


@dataclass(frozen=True)
class Release:
    """A release: what it was made from and how, and its files.

    Attributes:
        root: its folder.
        identity: what decides the bytes of its tables.
        described: what decides how it is described: version, about, repo.
        counts: subset -> rows of the run by reason; "ok" counts those that were made.
        files: its files, sorted by path.
    """

    root: Path
    identity: Identity
    described: dict[str, Json]
    counts: dict[str, dict[str, int]]
    files: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the benchmark, as its recipe has it."""
        return str(self.identity["name"])

    @property
    def configs(self) -> dict[str, list[Entry]]:
        """Files of each configuration, in the order of a release: subsets, masks, manifest."""
        found: dict[str, list[Entry]] = {}
        order = [*self.counts, *(e.config for e in self.files if e.config not in self.counts)]
        for config in order:
            files = [entry for entry in self.files if config and entry.config == config]
            if config and files:
                found[config] = files
        return dict(sorted(found.items(), key=lambda item: item[0] == "manifest"))

    @property
    def subsets(self) -> list[str]:
        """Configurations with images, in the order of the flow."""
        return [config for config in self.configs if config in self.counts]

    @property
    def maker(self) -> str:
        """The toolkit that wrote it, and the number of its layout."""
        version = self._version or "an unknown version of covar-gen"
        return f"{version} (format {self.identity['format']})"

    @property
    def _version(self) -> str | None:
        made_with = self.identity.get("made_with")
        found = made_with.get(TOOLKIT) if isinstance(made_with, dict) else None
        return f"{TOOLKIT} {found}" if found else None

    @property
    def of_today(self) -> bool:
        """True if it says that this version of the toolkit wrote it."""
        return self._version == here()

    @property
    def package(self) -> str:
        """What to install to have the version that wrote it, as pip takes it."""
        return (self._version or TOOLKIT).replace(" ", "==")

    def rows(self, config: str) -> int:
        """Rows of a configuration."""
        return sum(entry.rows or 0 for entry in self.configs[config])

    def document(self) -> bytes:
        """Content of release.json."""
        files = [
            {name: value for name, value in asdict(entry).items() if value is not None}
            for entry in sorted(self.files, key=lambda entry: entry.path)
        ]
        return _json({**self.identity, **self.described, "counts": self.counts, "files": files})


def here() -> str:
    """The toolkit at hand: its name and version."""
    return f"{TOOLKIT} {packages().get(TOOLKIT)}"


def read_release(root: Path) -> Release:
    """A release that is complete.

    Raises:
        ReleaseFolderError: the folder is none, its release.json cannot be read, or it has a
            layout of another number.
    """
    path = root / RELEASE
    mend = "Give the folder that `covar-gen publish` made"
    if not path.is_file():
        what = "not a release folder (no release.json)"
        if (root / WORKING).is_dir():
            what = "the release is not finished"
            mend = "Type the `covar-gen publish` command again: it goes on from here"
        raise ReleaseFolderError(what, where=root, mend=mend)
    try:
        said = json.loads(path.read_bytes())
        _check_format(said, path)
        files = [_entry(entry) for entry in said.pop("files")]
        counts = dict(said.pop("counts"))
        described = {name: said.pop(name) for name in DESCRIBED}
        _ = [said[name] for name in NEEDED], said["encoder"]["format"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        mend = "Download it again, or remove it and publish the run again"
        raise ReleaseFolderError("the file is damaged", where=path, mend=mend) from error
    return Release(root, said, described, counts, files)


def _entry(said: Mapping[str, Any]) -> Entry:
    """One file, as release.json has it; what other versions say of it besides is left out."""
    known = {each.name for each in fields(Entry)}
    return Entry(**{name: value for name, value in said.items() if name in known})


def _check_format(said: Mapping[str, Any], path: Path) -> None:
    """See that a layout is known, before anything of it is relied upon.

    Raises:
        ReleaseFolderError: it is not.
    """
    number = said["format"]
    if number != FORMAT:
        made_with = said.get("made_with")
        wrote = made_with.get(TOOLKIT) if isinstance(made_with, dict) else None
        what = (
            f"{TOOLKIT} {wrote or 'of an unknown version'} wrote it in format {number},"
            f" {here()} reads format {FORMAT}"
        )
        package = "==".join(str(part) for part in (TOOLKIT, wrote) if part)
        raise ReleaseFolderError(what, where=path, mend=f"Type: pip install --upgrade {package}")


class Workshop:
    """A release that is being made: its plan and the receipts of what is finished.

    Attributes:
        root: the release's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / WORKING

    @property
    def lock(self) -> Path:
        """Held by the one process that plans or completes."""
        return self.folder / "lock"

    @property
    def _plan(self) -> Path:
        return self.folder / "plan.json"

    def compare(self, identity: Identity) -> Release | None:
        """See that the folder is free for this release, or holds it already.

        Returns:
            The release, if it is complete: every file of it is there, with its size.

        Raises:
            ReleaseFolderError: it holds something else; nothing is touched.
        """
        if self.root.exists() and not self.root.is_dir():
            raise ReleaseFolderError("a file, not a folder", where=self.root, mend=_ANOTHER)
        if (self.root / RELEASE).is_file():
            made = read_release(self.root)
            self._same(made.identity, identity)
            return made if all(self.is_there(entry) for entry in made.files) else None
        if self._plan.is_file():
            self._same(json.loads(self._plan.read_bytes())["identity"], identity)
        elif strangers := self._strangers():
            what = f"the folder holds other things ({strangers[0]}, ...) and no release"
            raise ReleaseFolderError(what, where=self.root, mend=_ANOTHER)
        return None

    def _same(self, before: Mapping[str, Any], now: Identity) -> None:
        now = json.loads(json.dumps(now))
        if before != now:
            what = f"the folder holds another release ({first_difference(before, now)})"
            raise ReleaseFolderError(what, where=self.root, mend=_ANOTHER)

    def _strangers(self) -> list[str]:
        if not self.root.is_dir():
            return []
        names = (path.name for path in self.root.iterdir())
        return sorted(n for n in names if n not in (STAGING, WORKING) and not n.startswith(PROBE))

    def is_there(self, entry: Entry) -> bool:
        """True if a file is there, with its size."""
        path = self.root / entry.path
        return path.is_file() and path.stat().st_size == entry.bytes

    def claim(
        self,
        identity: Identity,
        counts: Mapping[str, Counter[str]],
        shards: list[Shard],
        staging: Staging,
    ) -> None:
        """Note what is being made; the caller holds `lock`."""
        plan = {
            "identity": identity,
            "counts": {subset: dict(sorted(c.items())) for subset, c in counts.items()},
            "shards": [asdict(shard) for shard in shards],
        }
        if (self.root / RELEASE).is_file():
            self._reopen(staging)
        staging.replace(self._plan, _json(plan))

    def _reopen(self, staging: Staging) -> None:
        """Take a finished release up again: the tables that are there need not be made again."""
        for entry in read_release(self.root).files:
            if entry.rows is not None:
                self._write_receipt(entry, staging)
        (self.root / RELEASE).unlink()

    def planned(self) -> tuple[Identity, dict[str, dict[str, int]], list[Shard]] | None:
        """What is being made, from which counts, in which files; None before it is noted."""
        if not self._plan.is_file():
            return None
        plan = json.loads(self._plan.read_bytes())
        return plan["identity"], plan["counts"], [Shard(**shard) for shard in plan["shards"]]

    def finish(self, shard: Shard, temporary: Path, written: Written, staging: Staging) -> None:
        """Give a finished, durable file its name."""
        self._write_receipt(Entry(shard.path, **asdict(written)), staging)
        staging.place(temporary, self.root / shard.path)

    def _write_receipt(self, entry: Entry, staging: Staging) -> None:
        staging.replace(self._receipt_path(entry.path), _json(asdict(entry)))

    def _receipt_path(self, path: str) -> Path:
        return self.folder / f"{path}.json"

    def receipt(self, shard: Shard) -> Entry | None:
        """The entry of a file that is finished; None where it is not."""
        path = self._receipt_path(shard.path)
        if not path.is_file():
            return None
        entry = Entry(**json.loads(path.read_bytes()))
        return entry if self.is_there(entry) else None

    def entry(self, path: str) -> Entry:
        """The entry of a file that is no table."""
        whole = self.root / path
        return Entry(path, whole.stat().st_size, file_sha256(whole))

    def clear(self) -> None:
        """Remove what stands beside a complete release."""
        shutil.rmtree(self.folder, ignore_errors=True)


_ANOTHER = "Choose an empty or new folder with --out"


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
