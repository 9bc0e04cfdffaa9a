"""From the columns of a Parquet file to batches: checks, decoding, mixing and reading ahead."""
