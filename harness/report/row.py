"""The value the report presents."""

from harness.row import Row

__all__ = ["Row"]
