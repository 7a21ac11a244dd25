"""Measuring: accuracy, speed, size."""
