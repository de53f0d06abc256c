"""What the stored predictions say: one file per table, each a pure function of the results."""
