#!/usr/bin/env python3
"""Writes the table that the statistics of crates/quality are held against: inputs, and what scipy makes of them.

Needs scipy and numpy. Usage: scripts/statistics.py > crates/quality/tests/data/statistics.json
"""
import json

import numpy as np
from scipy import special, stats
from scipy.spatial import distance

random = np.random.default_rng(20260105)


def psi(reference, current, share_min=1e-4):
    r = np.maximum(np.asarray(reference, float) / np.sum(reference), share_min)
    c = np.maximum(np.asarray(current, float) / np.sum(current), share_min)
    return float(np.sum((c - r) * np.log(c / r)))


def samples():
    normal = random.normal(10, 3, 200)
    yield normal, random.normal(10, 3, 150)
    yield normal, random.normal(12, 4, 90)
    yield random.integers(0, 5, 60).astype(float), random.integers(2, 9, 40).astype(float)
    yield np.array([1.0]), np.array([1.0])
    yield np.array([1.0]), np.array([2.0])
    yield np.array([-1e300, 0.0, 1e300]), np.array([-1e299, 1.0, 1e299])
    yield np.zeros(30), np.zeros(45)
    yield random.exponential(1, 500), random.exponential(1.1, 500)
    yield np.array([1e-12, 2e-12, 3e-12]), np.array([1.5e-12])


def counts():
    yield [10, 20, 30], [12, 18, 33]
    yield [10, 0, 30], [0, 18, 33]
    yield [5, 5], [5, 5]
    yield [1000000, 2000000, 4], [1000300, 1999000, 9]
    yield [1, 0], [0, 1]
    yield list(map(int, random.integers(1, 500, 40))), list(map(int, random.integers(1, 500, 40)))


table = {"samples": [], "counts": [], "gamma": []}
for one, other in samples():
    one, other = [float(x) for x in one], [float(x) for x in other]
    with np.errstate(all="ignore"):
        ks = stats.ks_2samp(one, other, method="asymp").statistic
        effective = len(one) * len(other) / (len(one) + len(other))
        table["samples"].append({
            "one": one,
            "other": other,
            "kolmogorov_smirnov": float(ks),
            "kolmogorov_smirnov_p": float(special.kolmogorov(np.sqrt(effective) * ks)),
            "wasserstein": float(stats.wasserstein_distance(one, other)),
            "median": float(np.median(one)),
            "median_absolute_deviation": float(stats.median_abs_deviation(one)),
            "quantile_0.35": float(np.quantile(one, 0.35)),
        })
for reference, current in counts():
    kept = [(r, c) for r, c in zip(reference, current) if r + c > 0]
    chi = stats.chi2_contingency(np.array(kept).T, correction=False)
    table["counts"].append({
        "reference": reference,
        "current": current,
        "population_stability": psi(reference, current),
        "jensen_shannon": float(distance.jensenshannon(reference, current, base=2)),
        "chi_square": [float(chi.statistic), int(chi.dof), float(chi.pvalue)],
    })
for a in [0.5, 1.0, 1.5, 7.0, 50.0, 400.0]:
    for x in [0.0, 1e-8, 0.3, 1.0, 6.5, 49.0, 51.0, 380.0, 450.0, 2000.0]:
        table["gamma"].append([a, x, float(special.gammaincc(a, x))])
print(json.dumps(table, indent=None, separators=(",", ":")))
