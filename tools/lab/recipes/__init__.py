"""Solid-state recipes: balanced reactions, their driving forces, what failures teach, and which recipe to try next."""
