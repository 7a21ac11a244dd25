"""Between which temperatures one is fitted. No torch, so that exports can ask without it."""

LOWEST, HIGHEST = 0.05, 20.0


def trusted(fitted: float) -> float:
    """A fitted temperature, or 1 where the fit ended at the lower bound.

    It ends there where every picture is answered right: that says nothing of how sure the answers may be, and would
    call each of them certain, wrong ones of other pictures too.
    """
    return fitted if fitted > LOWEST else 1.0
