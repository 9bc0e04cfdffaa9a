"""What the frontier benchmark says."""

import numpy as np

from benchmarks.pareto import Frontiers, measure, page, plainly
from benchmarks.quality_result import Machine


def test_the_plain_way_peels_frontiers() -> None:
    assert plainly(np.array([[3.0, 3], [2, 2], [0, 4], [1, 1], [0, 3], [3, 3]])).tolist() == [1, 2, 1, 3, 2, 1]


def test_the_page_tells_sizes_and_agreement() -> None:
    ranked = measure(200, 30, seed=1)
    assert ranked.agree
    assert sum(ranked.sizes) == sum(ranked.sizes_with_noise) == 200
    machine = Machine.here()
    result = Frontiers(features=200, seed=1, machine=machine, ranked=(ranked,))
    assert f"| 30 | {len(ranked.sizes)} | {ranked.sizes[0]}" in page(result)
    assert "equal in all ways" in page(result)
    broken = ranked.model_copy(update={"agree": False})
    assert "| differ |" in page(result.model_copy(update={"ranked": (broken,)}))
