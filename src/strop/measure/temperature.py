"""Between which temperatures one is fitted. No torch, so that exports can ask without it."""

LOWEST, HIGHEST = 0.05, 20.0
