"""Training: one loop, and the parts that go into it."""
