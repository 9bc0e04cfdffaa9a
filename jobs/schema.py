"""``lattice schema``: the JSON Schema of space files."""

import json

from jobs import options
from schemas.space import ModelSpace


def schema() -> None:
    """Print the JSON Schema of a space file, for editors that complete and check YAML.

    Example:

      lattice schema > space.schema.json
    """
    print(
        json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **ModelSpace.model_json_schema()}, indent=2
        )
    )


if __name__ == "__main__":
    options.script(schema)
