"""The report of a selection: what is kept at what cost, what was dropped and why, and how far noise decided."""
