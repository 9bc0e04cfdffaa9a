"""Every model by its name: what the command line, the trainer and checkpoints make them from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lattice_model.baselines.afn import AFN, AFNHyperparameters
from lattice_model.baselines.apg import APG, APGHyperparameters
from lattice_model.baselines.autoint import AutoInt, AutoIntHyperparameters
from lattice_model.baselines.bst import BST, BSTHyperparameters
from lattice_model.baselines.dcnv2 import DCNv2, DCNv2Hyperparameters
from lattice_model.baselines.dlrm import DLRM, DLRMHyperparameters
from lattice_model.baselines.finalmlp import FinalMLP, FinalMLPHyperparameters
from lattice_model.baselines.masknet import MaskNet, MaskNetHyperparameters
from lattice_model.baselines.wukong import Wukong, WukongHyperparameters
from lattice_model.baselines.xdeepfm import XDeepFM, XDeepFMHyperparameters
from lattice_model.network.config import Hyperparameters, NetworkConfig, SharedHyperparameters
from lattice_model.network.model import Model
from lattice_model.network.network import LatticeNetwork
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

DEFAULT = "lattice"


@dataclass(frozen=True)
class Kind:
    """A model's class, and the class of the hyperparameters that it is built with."""

    build: Callable[[NetworkConfig[Any]], Model]
    hyper: type[SharedHyperparameters]


MODELS: dict[str, Kind] = {
    DEFAULT: Kind(LatticeNetwork, Hyperparameters),
    "afn": Kind(AFN, AFNHyperparameters),
    "autoint": Kind(AutoInt, AutoIntHyperparameters),
    "dlrm": Kind(DLRM, DLRMHyperparameters),
    "dcnv2": Kind(DCNv2, DCNv2Hyperparameters),
    "finalmlp": Kind(FinalMLP, FinalMLPHyperparameters),
    "masknet": Kind(MaskNet, MaskNetHyperparameters),
    "xdeepfm": Kind(XDeepFM, XDeepFMHyperparameters),
    "bst": Kind(BST, BSTHyperparameters),
    "apg": Kind(APG, APGHyperparameters),
    "wukong": Kind(Wukong, WukongHyperparameters),
}


def find_kind(name: str, place: str) -> Kind:
    """The model of that name; ``place`` is where it was named.

    Raises:
        LatticeError: there is none.
    """
    if name not in MODELS:
        raise LatticeError(place, f"There is no model '{name}'.", f"Known: {', '.join(MODELS)}.")
    return MODELS[name]


def name_of(hyper: SharedHyperparameters) -> str:
    """The name of the model that has these hyperparameters."""
    return next(name for name, kind in MODELS.items() if kind.hyper is type(hyper))


def configure(
    hyper: SharedHyperparameters,
    manifest: TrainingManifest,
    split: Split,
    base_rates: tuple[float, ...] | None = None,
) -> NetworkConfig[Any]:
    """The configuration of a model with these hyperparameters that trains on the rows before the cut of ``split``."""
    kind = type(hyper)
    return NetworkConfig[kind].from_manifest(manifest, split, hyper, base_rates)  # type: ignore[valid-type]


def build(config: NetworkConfig[Any]) -> Model:
    """The model that the configuration's hyperparameters belong to."""
    return MODELS[name_of(config.hyper)].build(config)
