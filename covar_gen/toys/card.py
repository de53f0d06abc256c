"""The README.md of a toy model: that it is a toy, how it was made, and what was measured."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from covar_gen.toys.measure import accuracy, by_subset, held_out

IS_A_TOY = (
    "This model is a toy. It knows the eight rendered objects and eight drawn textures of the toy"
    " world (`covar_gen/toys`) and nothing of real photographs."
)
REPEATABLE = (
    "The same command on the same machine and versions gives the same weights: one thread, fixed"
    " seeds. Its pictures have other seeds than the photographs of the source `toy_world`."
)
MEANT = {
    "honest": (
        "Trained with backgrounds that have nothing to do with the class. It looks at the object,"
        " and changing the background hardly matters to it."
    ),
    "shortcut": (
        "Trained where every class stands before a background of its own. The background gives"
        " the class away, and the model falls as soon as it changes."
    ),
    "siglip": (
        "Trained like `honest`, with the sigmoid loss; its picture tower has no class token but"
        " an attention pool."
    ),
}
LOADED = {
    "open_clip": 'open_clip.create_model_and_transforms("local-dir:FOLDER")',
    "transformers": 'AutoModel.from_pretrained("FOLDER"), AutoProcessor.from_pretrained("FOLDER")',
}
PACKAGES = ("torch", "open_clip_torch", "transformers", "tokenizers", "numpy", "pillow")
PICTURES = 800


def write_card(folder: Path, command: str, kind: str, seconds: float, run: Path | None) -> str:
    """Measure the model in a folder and write its README.md.

    Args:
        folder: the saved model.
        command: that made it.
        kind: honest, shortcut or siglip.
        seconds: that the training took.
        run: a finished run of the toy-world recipe, to measure on too.

    Returns:
        The text.
    """
    lines = [
        f"# A toy: {folder.name}",
        "",
        f"{IS_A_TOY} {MEANT[kind]}",
        "",
        "Made by",
        "",
        f"    {command}",
        "",
        f"in {seconds / 60:.0f} minutes on one CPU core, with {_versions()}. {REPEATABLE}",
        "",
        f"Load it with `{LOADED['transformers' if kind == 'siglip' else 'open_clip']}`.",
        "",
        "## Measured",
        "",
        "Zero-shot accuracy with the text `a photo of a {}.` over the eight classes, in percent.",
        "",
        "| pictures | accuracy |",
        "|---|---|",
    ]
    for typical in (True, False):
        before = "its typical background" if typical else "any background"
        share = accuracy(folder, *held_out(PICTURES, typical=typical))
        lines.append(f"| {PICTURES} held out, each class before {before} | {100 * share:.1f} |")
    subsets = {} if run is None else by_subset(folder, run)
    lines += [f"| recipe toy-world: {name} | {100 * got:.1f} |" for name, got in subsets.items()]
    text = "\n".join(lines) + "\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return text


def _versions() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
