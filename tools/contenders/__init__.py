"""Trainings that are compared by the minute, each written as its author would.

Each has a function `run(splits, watch, seed)`: it builds a network, trains it, and
calls `watch.tick(network)` after each step, or `watch.look(network)` at the end, with a
network that takes pixels in [0, 1]. `TimeIsUp` ends it.
"""
