"""Dense features: tokens, domains and unknown values."""

import pytest
import torch

from lattice_model.network.dense import DenseProcessor
from schemas.manifest import DenseInput
from tests.lattice_model.factories import NORMALISER

DOMAINS = ("web", "app")
FEATURES = tuple(
    DenseInput(name=f"number_{i}", column=f"number_{i}", domains=("app",) if i == 2 else DOMAINS) for i in range(4)
)


def processor(tokens: int | None) -> DenseProcessor:
    torch.manual_seed(0)
    normalisers = {feature.name: NORMALISER for feature in FEATURES}
    return DenseProcessor(features=FEATURES, normalisers=normalisers, domains=DOMAINS, dim=5, width=3, tokens=tokens)


@pytest.mark.parametrize(("tokens", "expected"), [(None, 4), (2, 2), (4, 4), (9, 4)])
def test_number_of_tokens(tokens: int | None, expected: int) -> None:
    network = processor(tokens)
    assert network.tokens == expected
    assert network(torch.randn(6, 4), torch.zeros(6, dtype=torch.int64)).shape == (6, expected, 5)


def test_one_token_a_feature_depends_on_that_feature_alone() -> None:
    network, raw = processor(None), torch.randn(6, 4)
    other = raw.clone()
    other[:, 1] += 3
    domain_B = torch.ones(6, dtype=torch.int64)
    same = (network(raw, domain_B) == network(other, domain_B)).flatten(2).all(-1).all(0)
    assert same.tolist() == [True, False, True, True]


@pytest.mark.parametrize("tokens", [None, 2])
@pytest.mark.parametrize("value", [0.0, 55.0, float("nan")])
def test_a_feature_that_the_domain_lacks_is_zeroed_after_normalisation(tokens: int | None, value: float) -> None:
    network, raw = processor(tokens), torch.randn(6, 4)
    other = raw.clone()
    other[:, 2] = value
    web, app = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    torch.testing.assert_close(network(raw, web), network(other, web), rtol=0, atol=0)
    assert (network(raw, app) != network(other, app)).any()
    if tokens is None:
        assert (network(raw, web)[:, 2] == 0).all()


def test_unknown_differs_from_every_known_value_and_from_absent() -> None:
    network, raw = processor(None), torch.tensor([[0.0], [0.5], [float("nan")]]).expand(3, 4)
    tokens = network(raw, torch.ones(3, dtype=torch.int64))[:, 2]
    assert tokens.isfinite().all()
    assert torch.pdist(tokens).min() > 1e-3
    assert tokens.abs().sum(-1).min() > 1e-3
