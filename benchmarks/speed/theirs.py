"""FuxiCTR's side: ``python theirs.py CHECKOUT FOLDER MODEL STEPS`` in its own environment. Prints JSON.

``FOLDER`` holds ``table.json`` (names and sizes of the features, batch size, widths) and Parquet files of their ids.
"""

import importlib
import json
import logging
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch


def build(checkout: Path, name: str, table: dict[str, Any], folder: str) -> Any:
    """The model with FuxiCTR's own settings of its optimizer (Adam), and widths as given."""
    sys.path.insert(0, str(checkout / "model_zoo" / name))
    from fuxictr.features import FeatureMap  # type: ignore[import-not-found]

    features = [
        {feature: {"source": "", "type": "categorical", "padding_idx": 0, "vocab_size": size}}
        for feature, size in table["features"].items()
    ]
    written = {"dataset_id": "made_up", "features": features, "labels": ["label"], "input_length": len(features)}
    (Path(folder) / "map.json").write_text(json.dumps(written | {"total_features": sum(table["features"].values())}))
    feature_map = FeatureMap("made_up", folder)
    feature_map.load(str(Path(folder) / "map.json"), {"embedding_dim": table["dim"]})
    shared = {"optimizer": "adam", "loss": "binary_crossentropy", "verbose": 0, "model_root": folder, "metrics": []}
    shared |= {"gpu": -1, "embedding_dim": table["dim"], "learning_rate": 1e-3}
    if name == "DCNv2":
        own = {"model_structure": "stacked", "num_cross_layers": table["layers"]}
        own["stacked_dnn_hidden_units"] = table["widths"]
    else:
        own = {"attention_layers": table["layers"], "num_heads": 2, "attention_dim": table["dim"]}
        own["dnn_hidden_units"] = table["widths"]
    model: Any = getattr(importlib.import_module("src"), name)(feature_map, **shared, **own)
    return model, feature_map


def main(checkout: Path, rows: Path, name: str, steps: int) -> None:
    import ray  # type: ignore[import-not-found]

    table = json.loads((rows / "table.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        model, feature_map = build(checkout, name, table, folder)
        from fuxictr.pytorch.dataloaders.parquet_dataloader import (  # type: ignore[import-not-found]
            ParquetDataLoader,
        )

        ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        loader = ParquetDataLoader(
            feature_map, str(rows), batch_size=table["batch_size"], shuffle=True, num_workers=2, buffer_size=131_072
        )
        model.train()
        model._max_gradient_norm = 10.0  # what `fit` sets
        batches = iter(loader)
        model.train_step(next(batches)).item()  # the loader's start, and the first step, count for neither side
        stepping, started = 0.0, time.monotonic()
        taken = 0
        for batch in islice(batches, steps):
            begun = time.monotonic()
            model.train_step(batch).item()
            stepping += time.monotonic() - begun
            taken += len(batch["label"])
        seconds = time.monotonic() - started
    found = {
        "rows": taken,
        "seconds": seconds,
        "waiting_share": 1 - stepping / seconds,
        "parameters": sum(part.numel() for part in model.parameters()),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
