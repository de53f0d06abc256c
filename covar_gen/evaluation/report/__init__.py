"""Tables, figures and the page that are written from the analyses."""
