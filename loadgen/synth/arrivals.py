"""When operations come: clusters on several scales of time, fitted to the Fano factors of a recording.

The Fano factor F(T) is the variance of the number of operations in windows of T over its mean; 1 for a Poisson flow.
In a cluster process of Neyman and Scott whose clusters have K members, each an exponential time of mean s behind the
start of its cluster, F(T) = 1 + c g(T/s) with c = E[K(K-1)]/E[K] and g(x) = 1 - (1 - exp(-x))/x; for K geometric of
mean m, c = 2(m - 1). Independent flows that share the rate as w1, w2, … have F(T) = 1 + sum of w c g(T/s).
(J. Neyman, E. L. Scott 1958; D. R. Cox, V. Isham, Point Processes, 1980, section 3.4.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from loadgen.synth.model import Cluster
from loadgen.trace import Ints

Floats = npt.NDArray[np.float64]

WINDOWS_NS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
"""Windows that the fit looks at."""
_SCALES_NS = (200_000, 2_000_000, 20_000_000, 200_000_000, 2_000_000_000)
_FEWEST = 10  # windows that a variance needs


def fano(t_ns: Ints, window_ns: int, duration_ns: int) -> float | None:
    """The Fano factor over whole windows; None for less than ten of them or no operation in them."""
    windows = duration_ns // window_ns
    counts = np.bincount(t_ns // window_ns, minlength=windows)[:windows]
    if windows < _FEWEST or not counts.any():
        return None
    return float(counts.var() / counts.mean())


def fitted(t_ns: Ints, duration_ns: int) -> list[Cluster]:
    """Clusters whose Fano factors come nearest, relative to those of the recording; none for a Poisson flow.

    A flow more regular than Poisson is not in reach, and is fitted by Poisson.
    """
    found = {window: fano(t_ns, window, duration_ns) for window in WINDOWS_NS}
    measured = {window: value for window, value in found.items() if value is not None}
    if not measured:
        return []
    windows, values = np.array(list(measured), dtype=np.float64), np.array(list(measured.values())).clip(min=0.1)
    shape = np.array([[_g(window / scale) for scale in _SCALES_NS] for window in windows])
    excess = _least_squares(shape / values[:, None], (values - 1) / values)
    scales = [(scale, value) for scale, value in zip(_SCALES_NS, excess.tolist(), strict=True) if value > 1e-3]
    share = 1 / max(1, len(scales))
    return [Cluster(scale_ns=scale, share=share, size=1 + value / share / 2) for scale, value in scales]


def draw(clusters: Sequence[Cluster], count: int, duration_ns: int, chance: np.random.Generator) -> Ints:
    """`count` times in order, from 0 up to the duration."""
    rate = count / duration_ns
    longest = max((cluster.scale_ns for cluster in clusters), default=0)
    early, span = 8 * longest, duration_ns * 1.3 + 1e9
    while True:
        # clusters that started before count too; a later start makes up for what is drawn too sparse
        pieces = [_one(cluster, rate, early, span, chance) for cluster in clusters]
        left = 1 - sum(cluster.share for cluster in clusters)
        if left > 1e-9:
            pieces.append(chance.uniform(0, span, chance.poisson(rate * left * span)))
        times = np.sort(np.concatenate(pieces))
        times = times[times >= 0]
        if len(times) > count:
            # stretched by the little that makes the number exact
            whole: Ints = (times[:count] * (duration_ns / times[count])).astype(np.int64)
            return np.minimum(whole, duration_ns - 1)
        span *= 1.5


def _one(cluster: Cluster, rate: float, early: float, span: float, chance: np.random.Generator) -> Floats:
    starts = chance.uniform(-early, span, chance.poisson(rate * cluster.share / cluster.size * (span + early)))
    sizes = chance.geometric(1 / cluster.size, len(starts))
    times: Floats = np.repeat(starts, sizes) + chance.exponential(cluster.scale_ns, int(sizes.sum()))
    return times


def _g(x: float) -> float:
    return float(1 + np.expm1(-x) / x)


def _least_squares(matrix: Floats, target: Floats) -> Floats:
    """The vector of no negative entry with the least squared error: the best of all subsets, of which there are few."""
    count = matrix.shape[1]
    best, least = np.zeros(count), float(np.sum(target**2))
    for size in range(1, min(matrix.shape) + 1):
        for subset in combinations(range(count), size):
            solved = np.linalg.lstsq(matrix[:, subset], target, rcond=None)[0]
            error = float(np.sum((matrix[:, subset] @ solved - target) ** 2))
            if (solved >= 0).all() and error < least - 1e-12:
                best, least = np.zeros(count), error
                best[list(subset)] = solved
    return best
