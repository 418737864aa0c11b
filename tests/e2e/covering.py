# SPDX-License-Identifier: MIT
"""Pairwise covering: few rows in which every pair of values of two dimensions meets."""

import itertools


def all_rows(dimensions):
    return list(itertools.product(*dimensions))


def pairs_of(row):
    return set(itertools.combinations(enumerate(row), 2))


def covering_rows(dimensions):
    """A small list of rows with every pair in it; deterministic (greedy, first best row wins)."""
    rows = [(row, pairs_of(row)) for row in all_rows(dimensions)]
    missing = set().union(*(pairs for _, pairs in rows))
    chosen = []
    while missing:
        row, pairs = max(rows, key=lambda candidate: len(candidate[1] & missing))
        chosen.append(row)
        missing -= pairs
    return chosen
