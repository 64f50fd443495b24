"""A model file whose function returns no module."""


def build() -> int:
    return 5
