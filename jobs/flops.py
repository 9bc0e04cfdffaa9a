"""``lattice flops``: what a model costs, in operations and parameters, by module."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.model_config import ModelConfig
from jobs.models import current_manifest
from jobs.target import Target
from lattice_model.flops import ModelCost, measure
from lattice_model.network.config import NetworkConfig
from lattice_model.network.inputs import Inputs, inputs_from
from schemas.errors import LatticeError


def show_cost(cost: ModelCost, console: Console) -> None:
    """Print the table, a row a module, what is inside a module below it."""
    shown = Table(
        Column("module", no_wrap=True),
        *(
            Column(name, justify="right", no_wrap=True)
            for name in ("MFLOPs a sample", "dense MParams", "embedding MParams")
        ),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"Model {cost.model}, forward pass, batches of {cost.rows}",
    )
    for part in (*cost.modules, cost.total):
        if part is cost.total:
            shown.add_section()
        *outer, name = part.module.split(".")
        numbers = (part.mflops, part.dense_mparams, part.embedding_mparams)
        shown.add_row("  " * len(outer) + name, *(f"{number:.4f}" if number else "" for number in numbers))
    console.print(shown)


def read_inputs(path: Path) -> Inputs:
    """The inputs that a YAML file lays out, as the checkpoint of a model holds them.

    Raises:
        LatticeError: it cannot be read, or a key or a value in it is not known.
    """
    try:
        return Inputs.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LatticeError(str(path), f"The inputs cannot be read: {error}.", "Give a YAML file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        example = "lattice_model/configs/kuaivideo_inputs.yaml"
        raise LatticeError(f"{path}, {place}", f"Not valid: {first['msg']}.", f"See {example}.") from error


def flops(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    model: options.ModelKind = None,
    config: options.ModelSettings = None,
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", help="YAML with features and heads, instead of those of the training table."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Count a model's operations a sample and its parameters, by module, on the features of the training table.

    Counted are the matrix products, attention's included, of one forward pass over rows that have every feature and
    full sequences; a multiply-add is two operations. Not counted are embedding look-ups, whatever works number by
    number (normalisation, activations, softmax, sums, element-wise products), the loss and the backward pass.

    Examples:

      lattice flops

      lattice flops --model dcnv2 --config wider.yaml --json

      lattice flops --config lattice_model/configs/kuaivideo_expert.yaml \\
        --inputs lattice_model/configs/kuaivideo_inputs.yaml
    """
    settings = ModelConfig.read(config, model)
    if inputs is None:
        laid_out = inputs_from(current_manifest(Target.parse(space, warehouse, group)), "test")
    else:
        laid_out = read_inputs(inputs)
    kind = type(settings.network)
    cost = measure(NetworkConfig[kind](inputs=laid_out, hyper=settings.network))  # type: ignore[valid-type]
    if as_json:
        print(cost.model_dump_json(indent=2))
    else:
        show_cost(cost, Console())


if __name__ == "__main__":
    options.script(flops)
