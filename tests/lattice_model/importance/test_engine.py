"""The engine's numbers are those of the plain way, for every model; and do not depend on what is asked together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lattice_model.batch import Batch
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine, Importance
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import Rows
from lattice_model.importance.stand_ins import KeptTokens, Swap
from lattice_model.importance.tasks import domain_tasks, left_out
from lattice_model.loading.rows import Loaded
from lattice_model.models import MODELS, build, configure
from lattice_model.network.model import Model
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import make_batch, make_manifest
from tests.lattice_model.importance.naive import naive

MANIFEST = make_manifest(sequences=2)
TOGETHER = {"pair": ["id_0", "number_1", "number_2", "events_1"]}
CONFIG = ImportanceConfig(repeats=2, seed=5, negligible=0.0, exact=True)


def made(
    name: str,
    manifest: TrainingManifest = MANIFEST,
    dense_tokens: int | None = 4,
    shift: float = 0.1,
    **settings: object,
) -> Model:
    """In evaluation mode, with every parameter away from its special start."""
    torch.manual_seed(1)
    given = {"dim": 8, "dense_tokens": dense_tokens, "task_width": 8, **settings}
    hyper = MODELS[name].hyper.model_validate(given)
    network = build(configure(hyper, manifest, "validation"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(shift * torch.randn_like(parameter))
    return network.eval()


def loaded(batch: Batch, first: int = 0) -> Loaded:
    """With impressions numbered from ``first`` and some twenty users."""
    users = np.array([f"user {i}" for i in np.random.default_rng(first).integers(0, 20, batch.size)])
    return Loaded(batch, {"impression_id": first + np.arange(batch.size), "user_id": users})


def by_task(found: list[Importance], feature: str) -> dict[tuple[str, str], float]:
    return {(part.domain, part.objective): part.mean for part in found if part.feature == feature}


@pytest.mark.parametrize("dense_tokens", [4, None], ids=["dense features mixed", "a token each"])
@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_are_those_of_the_whole_pass(name: str, dense_tokens: int | None) -> None:
    network = made(name, dense_tokens=dense_tokens)
    check_against_the_whole_pass(network, tolerance=1e-4 if name == "afn" else 2e-6)


def test_so_they_are_where_domains_have_weights_of_their_own() -> None:
    check_against_the_whole_pass(made("lattice", towers="domain", untied_layers=[0], event_model="mean"), 2e-6)


def check_against_the_whole_pass(network: Model, tolerance: float) -> None:
    """AFN needs a large tolerance: it takes logarithms of tokens, which magnify the rounding of those near zero."""
    batch, features = make_batch(MANIFEST, 400, seed=3), features_of(MANIFEST, TOGETHER)
    found = Engine(network, Rows.read([loaded(batch)], MANIFEST), CONFIG).measure(features)
    assert {part.kind for part in found} == {"categorical", "dense", "sequence", "group"}
    for feature in features:
        expected = naive(network, MANIFEST, batch, feature, seed=5, repeats=2)
        ours = by_task(found, feature.name)
        assert ours.keys() == expected.keys()
        for task, value in expected.items():
            assert ours[task] == pytest.approx(value, abs=tolerance), (feature.name, task)
    assert max(abs(part.mean) for part in found) > 1e-3


def test_nothing_depends_on_what_is_asked_together_or_on_the_order_of_reading() -> None:
    network, batches = made("lattice"), [make_batch(MANIFEST, size, seed=size) for size in (150, 50, 200)]
    parts = [loaded(batch, first) for batch, first in zip(batches, (250, 0, 50), strict=True)]
    features = features_of(MANIFEST)
    together = Engine(network, Rows.read(parts, MANIFEST), CONFIG).measure(features)
    turned = Engine(network, Rows.read(parts[::-1], MANIFEST), CONFIG)
    alone = [part for feature in features[::-1] for part in turned.measure([feature])]
    assert sorted((part.feature, part.domain, part.objective) for part in alone) == [
        (part.feature, part.domain, part.objective)
        for part in sorted(together, key=lambda p: (p.feature, p.domain, p.objective))
    ]
    numbers = {(part.feature, part.domain, part.objective): (part.mean, part.standard_error) for part in alone}
    for part in together:
        expected = numbers[part.feature, part.domain, part.objective]
        assert (part.mean, part.standard_error) == pytest.approx(expected, abs=1e-7)


def test_a_domain_that_lacks_a_feature_and_a_feature_that_is_one_value() -> None:
    """The last dense feature lacks the first domain; a constant feature has the same values however permuted."""
    batch = make_batch(MANIFEST, 300, seed=1)
    batch = replace(batch, dense_BF=batch.dense_BF.index_fill(1, torch.tensor([2]), 7.0))
    found = Engine(made("lattice"), Rows.read([loaded(batch)], MANIFEST), CONFIG).measure(features_of(MANIFEST))
    for part in found:
        lacking = part.feature in ("number_5", "id_4") and part.domain == "web"
        nothing = lacking or part.feature == "number_2"
        assert (part.mean == 0.0 and part.standard_error == 0.0) == nothing, part
        assert part.repeats == 2


def test_a_negligible_feature_is_permuted_once() -> None:
    network = made("lattice")
    with torch.no_grad():
        hidden_FIw = network.get_parameter("preprocessor.dense.hidden_FIw")
        hidden_FIw[1] = 0.0  # number_1 reaches nothing
        hidden_FIw[3] *= 1e-4
    rows = Rows.read([loaded(make_batch(MANIFEST, 300, seed=1))], MANIFEST)
    found = Engine(network, rows, CONFIG.model_copy(update={"repeats": 4, "negligible": 1e-3})).measure(
        features_of(MANIFEST)
    )
    repeats = {part.feature: part.repeats for part in found}
    assert (repeats["number_1"], repeats["number_3"]) == (1, 1)
    assert repeats["id_0"] == repeats["events_0"] == 4
    assert all(abs(part.mean) < 1e-3 for part in found if part.repeats == 1)


def test_a_feature_goes_on_only_in_the_domains_where_it_may_be_worth_something() -> None:
    """number_1 differs between rows in one domain alone."""
    batch = make_batch(MANIFEST, 300, seed=1)
    dense_BF = batch.dense_BF.clone()
    dense_BF[batch.domain_B != 1, 1] = 0.5
    rows = Rows.read([loaded(replace(batch, dense_BF=dense_BF))], MANIFEST)
    found = Engine(made("lattice"), rows, CONFIG.model_copy(update={"negligible": 1e-4})).measure(features_of(MANIFEST))
    of_it = [part for part in found if part.feature == "number_1"]
    assert {(part.domain, part.repeats) for part in of_it} == {("web", 1), ("app", 2), ("mail", 1)}
    assert all(part.mean == part.standard_error == 0.0 for part in of_it if part.domain != "app")


SAMPLED = CONFIG.model_copy(update={"exact": False})
WIDE = make_manifest(sequences=1, categorical=2, dense=600)
"""Each of so many numbers changes little, as one of a trained model's features does."""


def many_rows(manifest: TrainingManifest) -> Rows:
    """Enough for a sample to be smaller than all of them."""
    return Rows.read([loaded(make_batch(manifest, 6000, seed=3))], manifest)


class Counted(Engine):
    """Counts the rows that the network runs on."""

    ran = 0

    def _logits(self, rows_B: torch.Tensor, swaps: tuple[Swap, ...]) -> torch.Tensor:
        self.ran += len(rows_B)
        return super()._logits(rows_B, swaps)


def test_a_sample_says_nearly_as_much_as_all_rows() -> None:
    """No difference is more than an error allows, on average it is far less; errors are hardly larger."""
    network, rows, features = made("lattice", WIDE, shift=0.0), many_rows(WIDE), features_of(WIDE)[::50]
    engine, exact = Counted(network, rows, SAMPLED), Counted(network, rows, CONFIG)
    engine.ran = exact.ran = 0
    found, truth = engine.measure(features), exact.measure(features)
    assert engine.ran < exact.ran / 3
    moved = [(part, true) for part, true in zip(found, truth, strict=True) if true.standard_error > 0]
    differences = np.array([(part.mean - true.mean) / true.standard_error for part, true in moved])
    ratios = np.array([part.standard_error / true.standard_error for part, true in moved])
    assert np.abs(differences).max() < 1.5
    assert np.sqrt(np.square(differences).mean()) < 0.4
    assert 0.9 < ratios.mean() < 1.1
    assert all((part.rows, part.repeats) == (true.rows, true.repeats) for part, true in moved)


def test_where_slopes_do_not_foretell_all_rows_are_measured() -> None:
    """BST attends to raw events, for which nothing is foretold, so its sequences are measured exactly."""
    network, rows, features = made("bst"), many_rows(MANIFEST), features_of(MANIFEST)
    engine = Engine(network, rows, SAMPLED)
    found, truth = engine.measure(features), Engine(network, rows, CONFIG).measure(features)
    assert {(f.name, domain) for f in features if f.kind == "sequence" for domain in f.domains} <= engine.whole
    for part, true in zip(found, truth, strict=True):
        if (part.feature, part.domain) in engine.whole:
            assert (part.mean, part.standard_error) == pytest.approx((true.mean, true.standard_error), abs=1e-7)


def test_a_feature_that_differs_in_few_rows_is_measured_in_all_of_them() -> None:
    """A sample would have next to none of them."""
    batch = make_batch(WIDE, 6000, seed=3)
    dense_BF = batch.dense_BF.index_fill(1, torch.tensor([1]), 0.5)
    dense_BF[::200, 1] = 3.0
    rows = Rows.read([loaded(replace(batch, dense_BF=dense_BF))], WIDE)
    network, features = made("lattice", WIDE, shift=0.0), [f for f in features_of(WIDE) if f.name == "number_1"]
    engine = Engine(network, rows, SAMPLED)
    found, truth = engine.measure(features), Engine(network, rows, CONFIG).measure(features)
    assert engine.whole == {("number_1", domain) for domain in WIDE.domains}
    for part, true in zip(found, truth, strict=True):
        assert (part.mean, part.standard_error) == pytest.approx((true.mean, true.standard_error), abs=1e-9)


def test_a_steep_slope_of_one_row_does_not_spoil_the_mean() -> None:
    """Without a bound the row alone would move the mean by hundreds of standard errors."""
    network, rows, features = made("lattice", WIDE, shift=0.0), many_rows(WIDE), features_of(WIDE)[100:110]
    plain, steep = (Engine(network, rows, SAMPLED) for _ in range(2))
    for tasks in domain_tasks(rows):
        unseen = np.flatnonzero(tasks.weight_R == 0)[0]
        for slopes_NRTd in steep._slopes[tasks.domain]._of.values():
            slopes_NRTd[:, unseen] = 1e6
    for part, true in zip(steep.measure(features), plain.measure(features), strict=True):
        assert abs(part.mean - true.mean) < true.standard_error
        assert part.standard_error < 1.5 * true.standard_error


@pytest.mark.parametrize("feature", ["id_0", "number_1", "events_0"])
def test_a_small_change_of_the_logits_is_foretold(feature: str) -> None:
    engine = Engine(made("lattice", WIDE, shift=0.0), rows := many_rows(WIDE), SAMPLED)
    tasks = domain_tasks(rows)[1]
    rows_B = torch.arange(tasks.span.start, tasks.span.start + 200)
    swap = Swap((feature,), slice(0, 200), rows_B + 200)
    with torch.inference_mode():
        for module in engine._network.modules():
            if isinstance(module, KeptTokens):  # the donors' tokens: close to the rows' own
                near_BTd = module.tokens_RTd[rows_B].lerp(module.tokens_RTd[rows_B + 200], 1e-2)
                module.tokens_RTd[rows_B + 200] = near_BTd
        change_BN = (engine._logits(rows_B, (swap,)) - engine._logits(rows_B, ()))[:, tasks.columns]
        foretold_BN = engine._slopes[tasks.domain].logit_changes(rows_B, swap)
    # The median: where a token is zero, as of an id that is not there, a norm turns on the smallest change.
    assert (change_BN - foretold_BN).abs().median() < 0.05 * change_BN.abs().median()


def test_a_sample_stands_for_all_rows_and_has_every_rare_label() -> None:
    batch = make_batch(MANIFEST, 6000, seed=3)
    labels_BO = batch.labels_BO.clone()
    labels_BO[:, 0] = (torch.arange(6000) % 100 == 0).float()  # 20 clicks a domain
    rows = Rows.read([loaded(replace(batch, labels_BO=labels_BO))], MANIFEST)
    for tasks in domain_tasks(rows):
        clicks_R = rows.labels_RO[tasks.span, 0] == 1
        assert tasks.weight_R.sum() == pytest.approx(len(tasks.weight_R))
        assert (tasks.weight_R[clicks_R] == 1).all()
        assert np.count_nonzero(tasks.weight_R) < len(tasks.weight_R) / 4


def test_a_sample_has_rows_of_each_kind_where_kinds_come_in_turns() -> None:
    """Such as the places of a page, of which every sixteenth row would be one."""
    labels_BO = torch.full((9600, 3), torch.nan)
    labels_BO[:, 0] = (torch.arange(9600) >= 9000).float()
    batch = replace(
        make_batch(MANIFEST, 9600, seed=1), labels_BO=labels_BO, domain_B=torch.zeros(9600, dtype=torch.int64)
    )
    (tasks,) = domain_tasks(Rows.read([loaded(batch)], MANIFEST))
    assert len(set(np.flatnonzero(tasks.weight_R) % 16)) == 16


def test_the_network_is_left_as_it_is() -> None:
    network, batch = made("bst"), make_batch(MANIFEST, 100, seed=2)
    before = network(batch)
    engine = Engine(network, Rows.read([loaded(batch)], MANIFEST), CONFIG)
    engine.measure(features_of(MANIFEST)[:2])
    assert torch.equal(network(batch), before)


def test_a_portfolio_without_two_kinds_of_labels_is_no_task() -> None:
    batch = make_batch(MANIFEST, 200, seed=2)
    labels_BO = batch.labels_BO.clone()
    labels_BO[batch.domain_B == 1, 0] = 0.0
    rows = Rows.read([loaded(replace(batch, labels_BO=labels_BO))], MANIFEST)
    assert left_out(rows) == (("app", "click"),)
    found = Engine(made("dlrm"), rows, CONFIG).measure(features_of(MANIFEST)[:1])
    assert {(part.domain, part.objective) for part in found} == {
        ("web", "click"), ("mail", "click"), ("web", "buy"), ("app", "buy"), ("mail", "buy"), ("mail", "redeem"),
    }  # fmt: skip
    labels = batch.labels_BO.numpy()
    first = next(part for part in found if (part.domain, part.objective) == ("mail", "redeem"))
    assert first.rows == (~np.isnan(labels[:, 2])).sum()
