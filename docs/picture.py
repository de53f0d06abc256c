"""Draw one object's variants, as the README shows them.

    .venv/bin/python docs/picture.py runs/demo n07920052/coffee/15 docs/pictures/variants.jpg

Reads a finished run. The photograph of the coffee is in the public domain: see sources/skimage.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from covar_gen.core.imaging import decode_png
from covar_gen.core.store import open_run

COLUMNS, WIDTH, GAP, CAPTION = 5, 300, 6, 22


def caption(row: dict[str, object]) -> str:
    """The subset and the factor that was varied."""
    factors = {
        "angle_deg": "{:.0f} degrees",
        "crop_area": "{:.0%} of the area",
        "scale_factor": "1/{:g} of the side",
        "azimuth_deg": "{:+.0f} degrees",
    }
    said = [text.format(row[name]) for name, text in factors.items() if row[name] is not None]
    if row["shift_x"] is not None:
        said = [f"{row['shift_x']:+.0%} right, {row['shift_y']:+.0%} down"]
    return ", ".join([str(row["subset"]), *said])


def draw(run_folder: str, base: str) -> Image.Image:
    """The photograph, the object before one background, and all variants of that."""
    run = open_run(run_folder)
    rows = {row["key"]: row for row in run.manifest().to_pylist() if row["status"] == "ok"}
    keys = [rows[base]["source"], base, *sorted(k for k in rows if k.startswith(f"{base}/"))]
    height = round(WIDTH * rows[base]["height"] / rows[base]["width"])
    lines = -(-len(keys) // COLUMNS)
    size = (COLUMNS * (WIDTH + GAP) - GAP, lines * (height + CAPTION + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for place, key in enumerate(keys):
        left = place % COLUMNS * (WIDTH + GAP)
        top = place // COLUMNS * (height + CAPTION + GAP)
        image = Image.fromarray(decode_png(run.read(rows[key]["image"])))
        sheet.paste(image.resize((WIDTH, height), Image.Resampling.LANCZOS), (left, top))
        pen.text((left + 2, top + height + 3), caption(rows[key]), "black", font)
    return sheet


if __name__ == "__main__":
    draw(sys.argv[1], sys.argv[2]).save(Path(sys.argv[3]), quality=88)
