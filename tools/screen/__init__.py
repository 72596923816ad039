"""Hands that reject crystals that are not worth a relaxation, each with a reason."""
