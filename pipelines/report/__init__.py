"""The report: statistics of the tables (Spark) and one self-contained HTML page about a run (plain data)."""
