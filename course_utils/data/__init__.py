"""Data sets of the course: found, downloaded or drawn."""
