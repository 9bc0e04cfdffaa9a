"""The Lattice Network (paper 3.3): feature processors, mixing network, backbone, task modules."""

from lattice_model.network.config import Hyperparameters, LatticeConfig
from lattice_model.network.inputs import Inputs
from lattice_model.network.network import LatticeNetwork

__all__ = ["Hyperparameters", "Inputs", "LatticeConfig", "LatticeNetwork"]
