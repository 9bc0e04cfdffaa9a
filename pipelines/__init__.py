"""How the data moves: Spark transforms, DataFrame in, DataFrame out."""
