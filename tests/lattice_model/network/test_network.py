"""Properties of the whole network."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lattice_model.batch import Batch
from lattice_model.network import Hyperparameters, LatticeConfig, LatticeNetwork
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import keyed_ids, make_batch, make_manifest

HYPER = Hyperparameters(dim=8, attention_heads=2, fmb_widths=(32,), dense_tokens=4)


@pytest.fixture(scope="module")
def manifest() -> TrainingManifest:
    return make_manifest(sequences=2)


@pytest.fixture(scope="module")
def batch(manifest: TrainingManifest) -> Batch:
    return make_batch(manifest, 50, seed=0)


@pytest.fixture(scope="module")
def network(manifest: TrainingManifest) -> LatticeNetwork:
    """In evaluation mode, with every parameter away from its special start (ones, small heads)."""
    return made(manifest).eval()


def made(manifest: TrainingManifest, hyper: Hyperparameters = HYPER, seed: int = 1) -> LatticeNetwork:
    torch.manual_seed(seed)
    network = LatticeNetwork(LatticeConfig.from_manifest(manifest, "test", hyper))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def loss_of(network: LatticeNetwork, batch: Batch) -> Tensor:
    targets = head_targets(batch.labels_BO, batch.window_B, network.config.inputs.heads)
    return masked_bce(network(batch), targets).total


def assert_same(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_one_logit_a_head_and_a_shared_embedding(
    network: LatticeNetwork, manifest: TrainingManifest, batch: Batch
) -> None:
    assert network(batch).shape == (50, len(manifest.heads()))
    assert_same(network.tasks(network.embed(batch)), network(batch))


@pytest.mark.parametrize(
    "small",
    [
        make_manifest(categorical=0),
        make_manifest(dense=0),
        make_manifest(sequences=0),
        make_manifest(categorical=0, dense=0, sequences=0),
        make_manifest(windows=()),
        make_manifest(domains=("one",)),
        make_manifest(numbers=()),
        make_manifest(numbers=("age",)),
    ],
    ids=["no ids", "no numbers", "no sequences", "domain only", "no windows", "one domain", "no event numbers", "age"],
)
def test_spaces_that_lack_a_kind_of_input_train_too(small: TrainingManifest) -> None:
    network = made(small)
    loss = loss_of(network, make_batch(small, 20, seed=0))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_row_does_not_depend_on_the_others(network: LatticeNetwork, manifest: TrainingManifest) -> None:
    """So that a batch's composition, and its last, shorter one, change no score."""
    whole, part = (make_batch(manifest, 30, seed=4) for _ in range(2))
    values, lengths = part.categorical.values(), part.categorical.lengths().view(-1, 30)
    ids = torch.zeros_like(lengths)
    ids[lengths > 0] = values
    first = replace(
        part,
        categorical=keyed_ids(part.categorical.keys(), ids.T[:7]),
        dense_BF=part.dense_BF[:7],
        sequences={
            name: replace(s, ids_BNI=s.ids_BNI[:7], dense_BNE=s.dense_BNE[:7], lengths_B=s.lengths_B[:7])
            for name, s in part.sequences.items()
        },
        domain_B=part.domain_B[:7],
    )
    torch.testing.assert_close(network(first), network(whole)[:7], rtol=1e-4, atol=1e-5)


def test_the_window_is_not_a_feature(network: LatticeNetwork, batch: Batch) -> None:
    assert_same(network(replace(batch, window_B=batch.window_B.flip(0))), network(batch))


def test_labels_are_not_features(network: LatticeNetwork, batch: Batch) -> None:
    assert_same(network(replace(batch, labels_BO=1 - batch.labels_BO)), network(batch))


def test_the_domain_is(network: LatticeNetwork, batch: Batch) -> None:
    other = network(replace(batch, domain_B=(batch.domain_B + 1) % 3))
    assert ((other - network(batch)).abs().amax(1) > 1e-4).all()


def test_padding_never_changes_a_logit(network: LatticeNetwork, batch: Batch) -> None:
    sequences = {}
    for name, sequence in batch.sequences.items():
        padding_BN1 = (torch.arange(sequence.ids_BNI.shape[1]) >= sequence.lengths_B[:, None])[..., None]
        sequences[name] = replace(
            sequence,
            ids_BNI=sequence.ids_BNI.masked_fill(padding_BN1, 7),
            dense_BNE=sequence.dense_BNE.masked_fill(padding_BN1, 1e6),
        )
    assert_same(network(replace(batch, sequences=sequences)), network(batch))


@pytest.mark.parametrize("value", [0.0, 1e9, float("nan")])
def test_the_raw_value_of_a_feature_that_the_domain_lacks_changes_nothing(
    network: LatticeNetwork, batch: Batch, value: float
) -> None:
    lacking_B = batch.domain_B == 0
    dense_BF = batch.dense_BF.clone()
    dense_BF[:, -1] = value
    change_B = (network(replace(batch, dense_BF=dense_BF)) - network(batch)).abs().amax(1)
    assert (change_B[lacking_B] == 0).all()
    assert change_B[~lacking_B].max() > 1e-4


def test_unknown_numbers_give_finite_logits_and_gradients(manifest: TrainingManifest, batch: Batch) -> None:
    network = made(manifest)
    loss = loss_of(network, replace(batch, dense_BF=torch.full_like(batch.dense_BF, float("nan"))))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_heads_without_labels_get_no_gradient(manifest: TrainingManifest, batch: Batch) -> None:
    """Rows of the 7-day window alone: of the windowed heads only those of 7 days learn."""
    network = made(manifest)
    loss_of(network, replace(batch, window_B=torch.ones_like(batch.window_B))).backward()
    heads = len(manifest.heads())
    for parameter in network.tasks.parameters():
        assert parameter.grad is not None
        learning = parameter.grad.reshape(heads, -1).abs().amax(1) > 0
        assert learning.tolist() == [True, False, True, False, False, True, False]


def test_every_parameter_can_learn(manifest: TrainingManifest) -> None:
    network = made(manifest)
    loss_of(network, make_batch(manifest, 200, seed=8)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_backbone_has_no_biases(network: LatticeNetwork) -> None:
    assert [name for name, _ in network.backbone.named_parameters() if "bias" in name] == []
    linears = [module for module in network.backbone.modules() if isinstance(module, torch.nn.Linear)]
    assert len(linears) > 10
    assert all(module.bias is None for module in linears)


def test_the_same_seed_gives_the_same_network_and_another_seed_another(
    manifest: TrainingManifest, batch: Batch
) -> None:
    first, again, other = made(manifest, seed=5), made(manifest, seed=5), made(manifest, seed=6)
    assert_same(first.eval()(batch), again.eval()(batch))
    assert (first(batch) != other.eval()(batch)).all()


def test_dropout_is_drawn_from_the_seed_and_off_in_evaluation(manifest: TrainingManifest, batch: Batch) -> None:
    network = made(manifest, HYPER.model_copy(update={"dropout": 0.3, "id_dropout": {"id_0": 0.5}}))
    torch.manual_seed(1)
    first = network(batch)
    assert (network(batch) != first).any()
    torch.manual_seed(1)
    assert_same(network(batch), first)
    assert_same(network.eval()(batch), network(batch))


def test_the_state_and_the_configuration_rebuild_the_network(network: LatticeNetwork, batch: Batch) -> None:
    config = LatticeConfig.model_validate_json(network.config.model_dump_json())
    other = LatticeNetwork(config).eval()
    other.load_state_dict(network.state_dict())
    assert_same(other(batch), network(batch))


def test_base_rates_are_where_a_new_network_starts(manifest: TrainingManifest, batch: Batch) -> None:
    torch.manual_seed(0)
    rates = (0.04, 0.01, 0.07, 0.2, 0.0, 0.001, 0.004)
    network = LatticeNetwork(LatticeConfig.from_manifest(manifest, "test", HYPER, rates)).eval()
    torch.testing.assert_close(network(batch).sigmoid().mean(0), torch.tensor(rates), rtol=0.15, atol=1e-5)


def test_bfloat16_agrees_with_float32(network: LatticeNetwork, batch: Batch) -> None:
    """Within 3 % of the spread of the logits, and they come out in float32."""
    expected = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(batch)
    assert logits.dtype == torch.float32
    assert (logits - expected).square().mean().sqrt() < 0.03 * expected.std()


def test_bfloat16_trains(manifest: TrainingManifest, batch: Batch) -> None:
    network = made(manifest)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(network, batch)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_compiled_agrees_with_eager(network: LatticeNetwork, batch: Batch) -> None:
    compiled = torch.compile(network, backend="aot_eager")  # as traced and decomposed, without waiting for a compiler
    with torch.no_grad():
        torch.testing.assert_close(compiled(batch), network(batch), rtol=1e-5, atol=1e-5)
