"""What a user's tables seem to be, and a first space file that says so with its doubts as comments: ``lattice init``.

No Spark: a bounded part of each table is read by pyarrow (``samples``), every column gets a type (``columns``), names
and contents say what a table is for (``roles``), times give windows and splits, and ``render`` writes the YAML.
"""
