"""Task modules: heads are independent, and start at their base rates."""

import torch

from lattice_model.network.tasks import TaskModules

RATES = (0.04, 0.2, 0.001)


def tasks() -> TaskModules:
    torch.manual_seed(0)
    return TaskModules(heads=3, features=20, width=6, dropout=0.0, base_rates=RATES)


def test_heads_computed_together_equal_heads_computed_one_by_one() -> None:
    module, x = tasks(), torch.randn(7, 5, 4)
    weight, bias = module.hidden.weight.unflatten(0, (3, 6)), module.hidden.bias.unflatten(0, (3, 6))
    for head, logit_B in enumerate(module(x).unbind(1)):
        hidden = torch.nn.functional.silu(x.flatten(1) @ weight[head].T + bias[head])
        torch.testing.assert_close(logit_B, hidden @ module.out_Hh[head] + module.bias_H[head])


def test_a_heads_loss_reaches_its_own_parameters_alone() -> None:
    module = tasks()
    module(torch.randn(7, 5, 4))[:, 1].sum().backward()
    for parameter in (module.hidden.weight, module.hidden.bias, module.out_Hh, module.bias_H):
        assert parameter.grad is not None
        by_head = parameter.grad.reshape(3, -1).abs().amax(1)
        assert by_head[1] > 0 and by_head[0] == by_head[2] == 0


def test_outputs_start_near_the_base_rates() -> None:
    rates = torch.sigmoid(tasks()(torch.randn(1000, 5, 4)).mean(0))
    torch.testing.assert_close(rates, torch.tensor(RATES), rtol=0.1, atol=0)


def test_a_base_rate_of_zero_or_one_starts_at_a_finite_output() -> None:
    module = TaskModules(heads=2, features=4, width=2, dropout=0.0, base_rates=(0.0, 1.0))
    assert module(torch.zeros(1, 1, 4)).isfinite().all()
