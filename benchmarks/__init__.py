"""Figures of the documentation that take minutes, each by a command that makes them anew."""
