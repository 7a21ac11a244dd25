"""What the optimizers share: checking options."""


def check_share(**options: float | None) -> None:
    """Raises ValueError for one that is not in [0, 1); None is not given."""
    for name, value in options.items():
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 0 and below 1.")


def check_positive(**options: float | None) -> None:
    """Raises ValueError for one that is not above 0; None is not given."""
    for name, value in options.items():
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value}; it must be above 0.")
