"""Make a release: every image encoded once, in files that `datasets` opens.

Reads:  manifest.parquet, images and masks of a finished run
Writes: OUT/data/<subset>/test-*.parquet, and what describes them; OUT/release.json last
Launch: accelerate launch covar_gen/stage_publish.py --run RUN --out DIR

Files are shared between processes; each is one unit of work. Whichever process sees that all are
finished writes what describes them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import get_args

from covar_gen.core.launch import PROGRESS, THREADS, guarded, leash, progress
from covar_gen.core.plugins import find
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Backgrounds
from covar_gen.core.store import open_run
from covar_gen.core.values import checked
from covar_gen.editors.base import Editor
from covar_gen.release.about import read_about
from covar_gen.release.encoding import Encoder, Format
from covar_gen.release.making import Options, publish_share
from covar_gen.sources.base import Source


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="the run folder")
    parser.add_argument("--out", required=True, type=Path, help="the release's folder")
    parser.add_argument("--format", choices=get_args(Format), default="jpeg", help="of images")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP, 1 to 100")
    parser.add_argument("--shard-mb", type=int, default=400, help="size of a file, about")
    parser.add_argument("--about", type=Path, help="about.toml: title, licence, authors, terms")
    parser.add_argument("--repo", metavar="USER/NAME", help="where on the Hub it is to be")
    return parser.parse_args()


def main() -> int:
    """Run the stage from the command line."""
    given = _arguments()
    leash()
    return guarded(lambda: _publish(given), given.out)


def reads_prompt(section: Backgrounds) -> bool:
    """True if the editor of a recipe reads its instruction, under its options.

    Args:
        section: [backgrounds] of the recipe; the editor's packages need not be installed.

    Raises:
        PluginError: no such editor.
        RecipeError: options that it has not.
    """
    plugin = find("editors", section.editor, Editor, "backgrounds.editor")
    options = section.options.get(section.editor, {})
    where = f"backgrounds.options.{section.editor}"
    return plugin(checked(plugin.Options, options, where)).reads_prompt


def _publish(given: argparse.Namespace) -> None:
    run = open_run(given.run)
    encoder, about = Encoder(given.format, given.quality), read_about(given.about)
    terms = find("sources", run.recipe.classes.source, Source, "classes.source").terms
    ground = run.recipe.backgrounds
    told = ground is not None and reads_prompt(ground)
    release = publish_share(
        run,
        given.out,
        Options(encoder, given.shard_mb, about, given.repo, terms, told),
        Ranks.from_environment(),
        threads=int(os.environ.get(THREADS, "2")),
        report=progress("publish"),
    )
    if os.environ.get(PROGRESS) != "lines":
        print("publish: complete" if release else "publish: others have files left to write")


if __name__ == "__main__":
    sys.exit(main())
