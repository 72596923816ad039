"""Shared by all tests: the same examples in every run, so that a red run is red again."""

from hypothesis import settings

settings.register_profile("reproducible", derandomize=True)
settings.load_profile("reproducible")
