"""What all tests share."""

import os

# Two thread pools on two busy cores wait for each other; one thread is slower when idle and steady when not.
# Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
