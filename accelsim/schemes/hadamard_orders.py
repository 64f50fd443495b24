"""Which Hadamard orders there are constructions for, told without building a matrix (and without numpy)."""

from __future__ import annotations

from functools import lru_cache

MAX_ORDER = 4096


def construction(order: int) -> str | None:
    """How `hadamard(order)` is built, like "Sylvester 2 x (Paley I over GF(19))"; None when it cannot be."""
    found = way(order)
    if found is None:
        return None
    kind, size = found
    if kind == "one":
        return "[1]"
    if kind != "Sylvester":
        return f"{kind} over GF({size})"
    return f"Sylvester {order}" if order & (order - 1) == 0 else f"Sylvester 2 x ({construction(size)})"


def factorise(width: int) -> tuple[int, int]:
    """(points, order) with width = points x order, points the largest power of two that leaves a known order.

    768 is 64 x 12, 14336 is 512 x 28, 11008 is 32 x 344. Raises ValueError when no split exists.
    """
    if width >= 1:
        points = width & -width
        while points >= 1:
            if construction(width // points) is not None:
                return points, width // points
            points //= 2
    raise ValueError(f"width {width} is no power of two times a Hadamard order that a construction here gives")


@lru_cache(maxsize=4096)
def way(order: int) -> tuple[str, int] | None:
    """Which construction, and its field's size or the order it doubles."""
    if order < 1 or order > MAX_ORDER:
        return None
    if order == 1:
        return "one", 1
    if order & (order - 1) == 0:
        return "Sylvester", order // 2
    if order % 4:
        return None
    if (order - 1) % 4 == 3 and prime_power(order - 1):
        return "Paley I", order - 1
    if order // 2 % 2 == 0 and (order // 2 - 1) % 4 == 1 and prime_power(order // 2 - 1):
        return "Paley II", order // 2 - 1
    return ("Sylvester", order // 2) if way(order // 2) else None


def prime_power(number: int) -> tuple[int, int] | None:
    """(prime, exponent 1..3), or None."""
    prime = next((p for p in range(2, int(number**0.5) + 1) if number % p == 0), number)
    exponent = 0
    while number % prime == 0 and number > 1:
        number, exponent = number // prime, exponent + 1
    return (prime, exponent) if number == 1 and 1 <= exponent <= 3 else None
