"""What flows and how it is kept; knows no stage and no plugin."""
