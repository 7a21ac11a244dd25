"""Structured pruning: rank channels, solve a budget, remove."""
