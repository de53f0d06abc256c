"""What the page says in words that no number changes: its sections, and how to read them."""

from __future__ import annotations

ORDER = (
    ("evaluated", "What was evaluated"),
    ("accuracy", "Accuracy"),
    ("subset_drops", "Drops by subset"),
    ("class_drops", "Drops by class"),
    ("backgrounds", "What backgrounds call for"),
    ("errors", "What errors are made of"),
    ("comparisons", "Models against each other"),
    ("other", "Further tables"),
    ("published", "Measured beside published"),
    ("claims", "Claims of the paper"),
    ("examples", "Images to look at"),
    ("rejected", "Rejected images"),
    ("files", "Files and method"),
)
"""Sections of the page; those with nothing in them are left out."""


INTROS = {
    "subset_drops": ("How far accuracy falls when one thing about the images changes.",),
    "class_drops": (
        (
            "How far each class's accuracy falls against its original photographs. Small classes "
            "have wide intervals, which are in the files of the tables; figures/ has a heat map "
            "of classes and subsets for each model."
        ),
    ),
    "backgrounds": (
        (
            "Classes that a model answers before a background whatever the object is: where one "
            "class comes up again and again among the wrong answers, the background calls for it."
        ),
    ),
    "errors": (
        (
            "Every misclassified image was explained: which patches made the model choose the "
            "wrong class, and do they lie on the object or on the background? Where objects are "
            "small, random maps lie on the background too, so a share of background-driven errors "
            "says something only beside what chance would give; the excess, which has no "
            "threshold, comes out even for random maps whatever the object's size."
        ),
    ),
    "comparisons": (
        (
            "Two models see the same images, so that their difference is tested image by image, "
            "the images of one photograph together."
        ),
    ),
    "claims": ("Sentences of the paper's discussion, tested on the numbers measured here.",),
}
NOT_THE_PAPERS = (
    "None of the paper's models is in this report: what is claimed of models in general is tested "
    "on those that are, and says nothing of the paper's."
)
FILES = (
    (
        "Beside this page, tables/ has every table as Parquet and CSV with all digits and as LaTeX "
        "(booktabs), figures/ every figure as PDF and SVG."
    ),
    (
        "Intervals are 95% and come from drawing photographs with replacement (bootstrap), with "
        "all of their images at once: images of one photograph never count as independent."
    ),
)
