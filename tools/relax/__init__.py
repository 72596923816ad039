"""Hands that relax crystals on a machine-learned potential, many at a time."""
