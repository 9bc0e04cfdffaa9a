"""What is left of a build or night that something ends: benchmarks.faults.__main__ says how it is run."""
