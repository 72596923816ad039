"""The one exception tree.

    LodestoneError
    ├── GoalError         the request cannot be understood or cannot be met
    ├── ConfigError       config.toml, an environment variable or a flag is wrong
    ├── ToolError         a generator, screen, potential or recogniser is misused or broken
    ├── EvaluationError   an evaluator is missing, misused or broken
    ├── BudgetError       an action would pass the budget
    ├── LedgerError       the campaign directory is missing, locked, full, damaged or of another version
    └── LabError          hardware refused, or is in an unknown or unsafe state

Expected failures of one crystal (an SCF that does not converge, a cell that explodes) are data
(`Failure`), never exceptions. Each message says what was wrong, what was expected and what to do.
"""

from __future__ import annotations


class LodestoneError(Exception):
    """Base of every error that Lodestone raises on purpose.

    Args:
        problem: what was wrong, with the offending value.
        remedy: what was expected, or what to do next; shown on its own line.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class GoalError(LodestoneError):
    """The request cannot be understood, contradicts itself, or cannot be met."""

    exit_code = 3


class ConfigError(LodestoneError):
    """A setting is unknown, of the wrong type or out of range."""

    exit_code = 4


class ToolError(LodestoneError):
    """A generator, screen, potential or recogniser is missing, misused or broken."""

    exit_code = 5


class EvaluationError(LodestoneError):
    """An evaluator is missing, misused or broken."""

    exit_code = 6


class BudgetError(LodestoneError):
    """An action would pass the campaign's budget."""

    exit_code = 7


class LedgerError(LodestoneError):
    """The campaign directory is missing, locked, full, damaged or of another version."""

    exit_code = 8


class LabError(LodestoneError):
    """Hardware refused, or is in an unknown or unsafe state."""

    exit_code = 9
