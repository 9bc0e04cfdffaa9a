"""What is encoded comes back as it was, tensors as they lay in memory."""

import json
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lattice_model.training.encoding import Tree, decoded, encoded


@st.composite
def _tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]))
    whole = torch.arange(27, dtype=torch.int64).remainder(5).to(dtype).view(3, 3, 3)
    part = whole[tuple(slice(0, size) for size in shape) + (0,) * (3 - len(shape))]
    return part.permute(draw(st.permutations(range(part.ndim))))


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | _tensors()
_KEYS = st.text() | st.integers()
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(_KEYS, inner),
    max_leaves=12,
)


@given(_TREES)
def test_a_tree_comes_back_as_it_was(tree: Tree) -> None:
    tensors: dict[str, Tensor] = {}
    text = json.dumps(encoded(tree, tensors))
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    # Where it is kept a tensor has one dimension at least.
    kept = {name: tensor if tensor.ndim else tensor.view(1) for name, tensor in tensors.items()}
    _same(decoded(json.loads(text), kept), tree)


def test_tensors_of_names_that_look_alike_are_kept_apart() -> None:
    tree = {"a/b": torch.tensor(1), "a": {"b": torch.tensor(2)}, "0": torch.tensor(3), 0: torch.tensor(4)}
    tensors: dict[str, Tensor] = {}
    _same(decoded(json.loads(json.dumps(encoded(tree, tensors))), tensors), tree)


def test_what_was_kept_under_numbers_is_read() -> None:
    """As models published before have their optimizers' state, which ``lattice train --continue`` goes on with."""
    kept = {"0": torch.arange(6.0).view(2, 3), "1": torch.tensor(7.0)}
    text = {"dict": [["w", {"tensor": "0", "stride": [1, 2]}], ["step", {"tensor": "1", "stride": []}]]}
    found = decoded(text, kept)
    assert torch.equal(found["w"], kept["0"]) and found["w"].stride() == (1, 2)
    assert found["step"] == 7.0 and found["step"].ndim == 0


def test_what_others_hold_a_part_of_is_passed_on() -> None:
    part, tensors = torch.nn.Parameter(torch.ones(2)), dict[str, Tensor]()
    tree = {"weights": {"a": part, "b": torch.ones(2)}}
    found = decoded(encoded(tree, tensors, (torch.nn.Parameter,)), tensors)
    assert found["weights"]["a"] is part is tensors['/"weights"/"a"']
    assert found["weights"]["b"] is not tree["weights"]["b"]


def _same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, Tensor):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        assert torch.equal(found, wanted)
        assert found.stride() == wanted.stride()
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            _same(found[key], wanted[key])
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for pair in zip(found, wanted, strict=True):
            _same(*pair)
    else:
        assert found == wanted
