"""Hands that propose crystals: random symmetric, prototype decoration, ionic substitution."""
