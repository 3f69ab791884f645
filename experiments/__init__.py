"""Experiments: one script each. `python -m experiments` lists them."""
