"""The entry points: parse, build, run. The only place where the pipelines and the model meet."""
