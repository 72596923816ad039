"""Powder patterns: computed from crystals, and read back as phases with their weight fractions."""
