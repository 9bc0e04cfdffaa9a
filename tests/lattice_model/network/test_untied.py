"""Parameter untying: which rows meet which weights, and what their gradients touch."""

import pytest
import torch
from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.export.serving import Serving, example_inputs, export_program
from lattice_model.network import Hyperparameters, LatticeConfig, LatticeNetwork
from lattice_model.network.untied import Untied, domain_groups
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch, make_manifest

MANIFEST = make_manifest(sequences=1)  # of the domains web, app, mail
BATCH = make_batch(MANIFEST, 40, seed=2)
UNTIED = {"dim": 8, "dense_tokens": 4, "fmb_widths": (16,), "dropout": 0.0, "untied_layers": (1,)}


def made(**changes: object) -> LatticeNetwork:
    torch.manual_seed(1)
    hyper = Hyperparameters.model_validate({**UNTIED, **changes})
    return LatticeNetwork(LatticeConfig.from_manifest(MANIFEST, "test", hyper))


def loss_of(network: LatticeNetwork, batch: Batch, domain: int) -> Tensor:
    """Of the rows of one domain."""
    targets_BH = head_targets(batch.labels_BO, batch.window_B, network.config.inputs.heads)
    return masked_bce(network(batch), targets_BH.masked_fill((batch.domain_B != domain)[:, None], torch.nan)).total


def copies_of(block: nn.Module) -> nn.ModuleList:
    assert isinstance(block, Untied)
    return block.copies


def test_groups_of_domains() -> None:
    domains = ("web", "app", "mail", "push")
    assert domain_groups(domains, None) == [0, 1, 2, 3]
    assert domain_groups(domains, [["mail", "web"]]) == [0, 1, 0, 1]
    assert domain_groups(domains, [["app"], ["web", "push"]]) == [1, 0, 2, 1]


def test_each_row_goes_through_its_groups_copy() -> None:
    torch.manual_seed(0)
    module = Untied(nn.Bilinear(4, 2, 3, bias=False), [0, 1, 0])
    with torch.no_grad():
        for parameter in module.copies[1].parameters():
            parameter.mul_(-2.0)
    domain_B, x, y = torch.tensor([1, 0, 2, 1, 0]), torch.randn(5, 4), torch.randn(5, 2)
    found = module(domain_B, x, y)
    for row, domain in enumerate(domain_B.tolist()):
        torch.testing.assert_close(found[row], module.copies[domain % 2](x[row], y[row]))


def test_a_network_begins_as_if_it_were_tied() -> None:
    tied, untied = made(untied_layers=()).eval(), made().eval()
    torch.testing.assert_close(untied(BATCH), tied(BATCH))
    assert len(copies_of(untied.backbone.fusions[1])) == len(MANIFEST.domains)
    assert not isinstance(untied.backbone.fusions[0], Untied)


@pytest.mark.parametrize("domain", range(3))
@pytest.mark.parametrize("groups", [None, (("mail", "web"),)])
def test_a_domains_gradient_touches_no_other_groups_weights(
    domain: int, groups: tuple[tuple[str, ...], ...] | None
) -> None:
    network = made(untied_groups=groups)
    own = domain_groups(MANIFEST.domains, groups)[domain]
    loss_of(network, BATCH, domain).backward()
    for block in (network.backbone.transformers[1], network.backbone.fusions[1]):
        for group, copy in enumerate(copies_of(block)):
            touched = [p.grad is not None and bool(p.grad.any()) for p in copy.parameters()]
            assert all(touched) if group == own else not any(touched)
    tied = (network.backbone.transformers[0], network.backbone.fusions[0])
    assert all(p.grad is not None and p.grad.any() for block in tied for p in block.parameters())


def test_a_tower_a_domain_learns_from_its_domain_alone() -> None:
    network = made(untied_layers=(), towers="domain")
    assert isinstance(network.tasks, Untied)
    loss_of(network, BATCH, 1).backward()
    touched = [
        any(bool(p.grad.any()) for p in tower.parameters() if p.grad is not None) for tower in network.tasks.copies
    ]
    assert touched == [False, True, False]
    shared = made(untied_layers=())
    torch.testing.assert_close(network.eval()(BATCH), shared.eval()(BATCH))


def test_a_batch_may_lack_a_domain() -> None:
    """Then what is untied for it gets no gradient, or one of zero, and the others' is what it was."""
    web = make_batch(make_manifest(domains=("web", "app", "mail"), sequences=1), 40, seed=3)
    network = made(towers="domain")
    alone = Batch(**{**vars(web), "domain_B": torch.zeros_like(web.domain_B)})
    loss_of(network, alone, 0).backward()
    for block in (network.backbone.fusions[1], network.backbone.transformers[1], network.tasks):
        first, *others = copies_of(block)
        assert all(p.grad is not None and p.grad.any() for p in first.parameters() if p.numel() > 10)
        assert not any(p.grad is not None and p.grad.any() for copy in others for p in copy.parameters())


def test_compiled_agrees_with_eager() -> None:
    """How many rows a group has is data; the graph breaks there or goes on, but gives the same."""
    torch.manual_seed(0)
    module = Untied(nn.Linear(4, 3), [0, 1, 2])
    compiled = torch.compile(module, backend="aot_eager")
    for rows in (8, 5):
        domain_B, x = torch.randint(0, 3, (rows,)), torch.randn(rows, 4)
        with torch.no_grad():
            torch.testing.assert_close(compiled(domain_B, x), module(domain_B, x))


def test_an_exported_network_gives_the_same() -> None:
    """For batches of any size, though what each domain has of one is data."""
    network = made(towers="domain").eval()
    with torch.no_grad():
        for block in (network.backbone.fusions[1], network.tasks):
            for parameter in copies_of(block)[2].parameters():
                parameter.mul_(1.5)
    program = export_program(network, MANIFEST).module()
    inputs = example_inputs(MANIFEST, rows=7) | {"domain": torch.tensor([0, 2, 1, 2, 2, 0, 1])}
    with torch.no_grad():
        found, expected = program(inputs), Serving(network, MANIFEST)(inputs)
    torch.testing.assert_close(found, expected)
    assert (expected[1] - expected[0]).abs().max() > 1e-4


def test_domains_and_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(LatticeError, match=r"untied_layers[\s\S]*from 0 to 1"):
        made(untied_layers=(2,))
    with pytest.raises(LatticeError, match=r"untied_groups[\s\S]*'push'"):
        made(untied_groups=(("push",),))
    with pytest.raises(LatticeError, match=r"'web' is not a domain of the model, or is named twice"):
        made(untied_groups=(("web",), ("web", "app")))
