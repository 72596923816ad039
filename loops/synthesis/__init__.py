"""Campaigns that make one compound in a laboratory: recipes, samples, patterns, what was learned."""
