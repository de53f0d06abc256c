"""How figures look, and how they are written: matplotlib without pyplot and without its state.

Colours are told apart by people with any colour vision and, with the markers, in grey print.
The same figure is the same bytes: no dates, no random names.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE, PAPER = "#22211f", "#6d6964", "#dedbd7", "#fffffe"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f01", "#56b4ea")
"""Okabe and Ito's colours ("Color Universal Design", 2008), without the pale yellow."""
MARKERS = ("o", "s", "^", "D", "v", "<")
WIDTH = 7.0
"""Of a figure in inches: what fits between the margins of a page, so that 8 points stay 8."""
LINE_HEIGHT = 0.155
"""Of a row with a label, inches."""

_THEME = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--raised)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES)},
}
"""Colours that a page replaces by its own, light or dark."""
_FONTS = "'DejaVu Sans', Verdana, sans-serif"
"""Verdana is as wide as the font that figures are laid out with."""
_STYLE: dict[str, Any] = {
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.titlelocation": "left",
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.5,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
    "svg.fonttype": "none",
    "svg.hashsalt": "covar-gen",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: file name without its ending; letters, digits, `-` and `_`.
        section: of the page, where it stands.
        title: what it shows.
        caption: how it is read, and where its numbers come from.
        alt: what can be seen in it, for those who cannot see it.
        svg: for the page, in whose colours it is drawn.
        pdf: for paper.
        folded: whether the page shows it on demand only.
        shown: whether it is on the page at all, and not in its files alone.
        beside: the table whose sheets it follows; empty: it stands below all tables of the section.
    """

    name: str
    section: str
    title: str
    caption: str
    alt: str
    svg: str
    pdf: bytes
    folded: bool = False
    shown: bool = True
    beside: str = ""


def require() -> None:
    """See that what a report is made with is installed.

    Raises:
        MissingExtraError: it is not.
    """
    missing = [name for name in ("matplotlib", "scipy") if find_spec(name) is None]
    if missing:
        mend = "Type: pip install 'covar-gen[evaluate]'"
        raise MissingExtraError(f"a report needs {' and '.join(missing)}", mend=mend)


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib as figures here are drawn, whatever the user's own settings are.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require()
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # Names may be in any script; browsers have fonts for those that ours has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, sizes in inches; its parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def drawn(figure: Figure, name: str, **about: Any) -> Drawing:
    """The figure as the page and paper want it; the other arguments are those of `Drawing`."""
    svg, pdf = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # Both have 72 dots to the inch: what was laid out once stays where it is.
    figure.set_layout_engine("none")
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None}, facecolor="white")
    return Drawing(
        name=name, svg=_inline(svg.getvalue().decode(), name), pdf=pdf.getvalue(), **about
    )


def standalone(svg: str) -> str:
    """An SVG of the page as a file of its own, in the colours of paper."""
    for colour, variable in _THEME.items():
        svg = svg.replace(variable, colour)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg}'


def _inline(svg: str, name: str) -> str:
    """An SVG file as a part of a page: its own ids, the page's colours, no more than needed."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # A style element of a part would hold for the whole page.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace("<svg ", f'<svg stroke-linejoin="round" font-family="{_FONTS}" ', 1)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r'<g id="text_\d+">|<g id="patch_\d+">', "<g>", svg)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    prefix = re.sub(r"[^\w-]", "_", name, flags=re.ASCII)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"<[^>]*>", _shorter, svg)
    for colour, variable in _THEME.items():
        svg = svg.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", svg).strip() + "\n"


def _shorter(tag: re.Match[str]) -> str:
    """A tag with coordinates of two decimals: a hundredth of a point cannot be seen."""
    return re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), tag[0])


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows from top to bottom, one for each name, with faint lines to guide the eye."""
    axes.set_yticks(range(len(names)), labels=list(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=True, axis="y", linewidth=0.4)
    axes.spines["left"].set_visible(False)


def brightness(colour: Sequence[float]) -> float:
    """Of an RGB colour in [0, 1]: relative luminance (WCAG 2.2), for text to stand out on it."""
    knee = 0.04045
    linear = [c / 12.92 if c <= knee else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
