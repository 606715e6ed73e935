"""Processes fail at chosen places, and nobody can tell afterwards."""
