"""Hadamard matrices by construction: Sylvester doubling, Paley I and Paley II over fields of up to p^3 elements."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from accelsim.schemes.hadamard_orders import prime_power, way

Signs = NDArray[np.int8]


@lru_cache(maxsize=64)
def hadamard(order: int) -> Signs:
    """H of shape [order, order] and entries +-1 with H H^T = order x I, read-only.

    Constructions, the first that fits: [1]; Paley I, order q + 1 for a prime power q = 3 mod 4; Paley
    II, order 2 (q + 1) for q = 1 mod 4 (R. Paley, J. Math. Phys. 12, 1933); Sylvester,
    [[H, H], [H, -H]]. Powers of two are Sylvester's throughout. Raises ValueError for an order that
    none of them reaches (odd, 2 mod 4, or 92, 116, 156, 172, ...) or above 4096.
    """
    found = way(order)
    if found is None:
        raise ValueError(f"no construction here gives a Hadamard matrix of order {order}")
    kind, size = found
    if kind == "one":
        matrix = np.ones((1, 1), np.int8)
    elif kind == "Sylvester":
        matrix = np.kron(np.array([[1, 1], [1, -1]], np.int8), hadamard(size))
    elif kind == "Paley I":
        matrix = np.eye(order, dtype=np.int8) + _bordered(size, -1)
    else:
        turn, identity = np.array([[1, 1], [1, -1]], np.int8), np.array([[1, -1], [-1, -1]], np.int8)
        matrix = np.kron(_bordered(size, 1), turn) + np.kron(np.eye(size + 1, dtype=np.int8), identity)
    matrix = matrix.astype(np.int8)
    matrix.setflags(write=False)
    return matrix


def _bordered(size: int, below: int) -> Signs:
    """The Jacobsthal matrix of GF(size), chi(a - b), with a row of ones above and a column of `below` on its left."""
    matrix = np.zeros((size + 1, size + 1), np.int8)
    matrix[0, 1:], matrix[1:, 0] = 1, below
    matrix[1:, 1:] = _jacobsthal(size)
    return matrix


def _jacobsthal(size: int) -> Signs:
    found = prime_power(size)
    assert found is not None
    prime, degree = found
    elements = np.array(list(product(range(prime), repeat=degree)))  # coefficients, lowest power first
    weights = prime ** np.arange(degree)[::-1]
    squares = {int(_square(element, _irreducible(prime, degree), prime) @ weights) for element in elements[1:]}
    character = np.array([0] + [1 if number in squares else -1 for number in range(1, size)], np.int8)
    differences = (elements[:, None, :] - elements[None, :, :]) % prime
    table: Signs = character[differences @ weights]
    return table


def _square(element: NDArray[np.int64], modulus: NDArray[np.int64], prime: int) -> NDArray[np.int64]:
    """element^2 in GF(prime)[x] / modulus; the modulus is monic, its leading one left out."""
    degree = len(element)
    result = np.convolve(element, element)
    for power in range(len(result) - 1, degree - 1, -1):
        result[power - degree : power] -= result[power] * modulus
        result[power] = 0
    return result[:degree] % prime


@lru_cache(maxsize=64)
def _irreducible(prime: int, degree: int) -> NDArray[np.int64]:
    """A monic polynomial without roots, which up to degree 3 has no factors either."""
    if degree == 1:
        return np.zeros(1, np.int64)
    points = np.arange(prime)
    for coefficients in product(range(prime), repeat=degree):
        values = sum(c * points**power for power, c in enumerate(coefficients)) + points**degree
        if np.all(values % prime):
            return np.array(coefficients)
    raise AssertionError("every finite field has irreducible polynomials of every degree")
