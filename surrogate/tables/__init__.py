"""Picking from a table: process settings, mixtures, formulas; no crystal structure needed."""

from .aims import Aim
from .columns import Space, Survey, Value
from .ensemble import Prediction
from .former import Former, learn_former
from .picker import Pick, TablePicker
from .several import Compromise, Expectation, SeveralPick, SeveralPicker

__all__ = [
    "Aim",
    "Compromise",
    "Expectation",
    "Former",
    "Pick",
    "Prediction",
    "SeveralPick",
    "SeveralPicker",
    "Space",
    "Survey",
    "TablePicker",
    "Value",
    "learn_former",
]
