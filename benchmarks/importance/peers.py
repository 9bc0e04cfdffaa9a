"""Permutation importance as captum and scikit-learn compute it: the whole model on every row, for each feature.

Both get the model as a function of a table of columns (ids and numbers; sequences stay as they are) that returns the
normalized entropies of all tasks, so that one pass serves all tasks for them too. Captum's permutations are ours,
within domains, so its numbers must be ours; scikit-learn shuffles over all rows by itself: another question.

Shapes: R rows, X columns, C of them ids, F of them numbers, N tasks.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance
from torch import Tensor
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.evaluation.metrics import cross_entropies
from lattice_model.importance.permutation import permutation
from lattice_model.importance.rows import Rows
from lattice_model.importance.tasks import DomainTasks, domain_tasks
from lattice_model.network.model import Model

Floats = NDArray[np.float64]


class WholeModel:
    """The model as both peers take it; ``columns_RX`` holds folded ids, then numbers, of rows in the order of Rows."""

    def __init__(self, network: Model, rows: Rows) -> None:
        self.rows, self._network = rows, network
        manifest, codes = rows.manifest, rows.codes()
        ids = [codes[part.name] for part in manifest.categorical]
        self.names = [*(part.name for part in manifest.categorical), *(part.name for part in manifest.dense)]
        self._ids = len(ids)
        # float64 holds folded ids exactly: tables have fewer rows than 2^53.
        self.columns_RX = np.concatenate([np.stack(ids).astype(np.float64), rows.dense().double().numpy()]).T.copy()
        self._tasks = domain_tasks(rows)
        self.tasks = [(part.domain, objective) for part in self._tasks for objective in part.objectives]

    def entropies(self, columns_RX: Floats) -> Floats:
        """Normalized entropy of each task, (N)."""
        ids_RC = torch.from_numpy(columns_RX[:, : self._ids]).long()
        dense_RF = torch.from_numpy(columns_RX[:, self._ids :]).float()
        oracle = list(self.rows.manifest.oracle_heads())
        # The rows as they were read, batch by batch: so the sequences need not be copied.
        read_to_row = torch.argsort(self.rows.read_R)
        found, start = [], 0
        with torch.inference_mode():
            for batch in self.rows.batches:
                rows_B = read_to_row[start : start + batch.size]
                start += batch.size
                changed = replace(
                    batch, categorical=self._keyed(ids_RC[rows_B]), dense_BF=dense_RF[rows_B].contiguous()
                )
                found.append(torch.sigmoid(self._network(changed)[:, oracle].double()))
        probabilities_RO = torch.cat(found)[self.rows.read_R].numpy()
        return np.concatenate([self._of(part, probabilities_RO) for part in self._tasks])

    def _of(self, part: DomainTasks, probabilities_RO: Floats) -> Floats:
        labels_RO = self.rows.labels_RO[part.span][:, part.columns]
        losses_RO = cross_entropies(labels_RO, probabilities_RO[part.span][:, part.columns])
        means_O: Floats = np.where(part.labelled_RO == 1, losses_RO, 0.0).sum(0) / part.labelled_RO.sum(0)
        return means_O / part.entropies_O

    def _keyed(self, ids_BC: Tensor) -> KeyedJaggedTensor:
        ids_CB = ids_BC.T
        names = self.names[: self._ids]
        return KeyedJaggedTensor(keys=names, values=ids_CB[ids_CB > 0], lengths=(ids_CB > 0).long().reshape(-1))


def captum_importance(whole: WholeModel, names: Sequence[str], seed: int) -> Floats:
    """(features, N) by captum's FeaturePermutation, with our permutations."""
    from captum.attr import FeaturePermutation  # of no lock of ours: see __main__

    places = [whole.names.index(name) for name in names]
    manifest = whole.rows.manifest
    domains = {part.name: part.domains for part in manifest.categorical}
    domains |= {part.name: part.domains for part in manifest.dense}

    def forward(asked_RX: Tensor) -> Tensor:
        columns_RX = whole.columns_RX.copy()
        columns_RX[:, places] = asked_RX.numpy()
        return torch.from_numpy(whole.entropies(columns_RX))

    def permute(asked_RX: Tensor, mask_1X: Tensor) -> Tensor:
        column = int(mask_1X.reshape(-1).nonzero()[0, 0])
        donors_R = np.arange(len(asked_RX))
        for domain in domains[names[column]]:
            span = whole.rows.spans[domain]
            order = permutation(span.stop - span.start, seed=seed, feature=names[column], repeat=0, domain=domain)
            donors_R[span] = span.start + order
        permuted_RX = asked_RX.clone()
        permuted_RX[:, column] = asked_RX[donors_R, column]
        return permuted_RX

    found = FeaturePermutation(forward, perm_func=permute).attribute(torch.from_numpy(whole.columns_RX[:, places]))
    increases_XN: Floats = -found.numpy().T.astype(np.float64)
    return increases_XN


class _Estimator:
    """What scikit-learn wants of a model."""

    def fit(self, *_: object) -> None: ...


def sklearn_importance(whole: WholeModel, names: Sequence[str], seed: int) -> Floats:
    """(features, N) by scikit-learn's permutation_importance, one permutation each."""
    places = [whole.names.index(name) for name in names]

    def score(_: object, asked_RX: Floats, __: object) -> dict[str, float]:
        columns_RX = whole.columns_RX.copy()
        columns_RX[:, places] = asked_RX
        return {str(i): -float(value) for i, value in enumerate(whole.entropies(columns_RX))}

    rows = whole.columns_RX[:, places]
    found = permutation_importance(_Estimator(), rows, None, scoring=score, n_repeats=1, random_state=seed)
    return np.stack([found[str(i)].importances_mean for i in range(len(whole.tasks))], axis=1)
