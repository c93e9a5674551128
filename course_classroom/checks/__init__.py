"""Checks of the reader's exercises, one module a lesson."""
