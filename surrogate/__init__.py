"""Judgement: features, posterior, and which candidates deserve the money."""
