"""Hands that say what a crystal is: space group, prototype, dimensionality, embedding."""
