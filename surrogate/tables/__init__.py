"""Picking from a table: process settings, mixtures, formulas; no crystal structure needed."""

from .aims import Aim
from .columns import Space, Survey, Value
from .ensemble import Prediction
from .picker import Pick, TablePicker

__all__ = ["Aim", "Pick", "Prediction", "Space", "Survey", "TablePicker", "Value"]
