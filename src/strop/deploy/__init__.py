"""From a model folder to a file that runs without torch."""
