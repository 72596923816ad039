"""Benchmarks: each is one command, and its latest table stands in RESULTS.md."""
