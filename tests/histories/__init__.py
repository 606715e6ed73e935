"""Histories that hosts of the past have recorded. Every later core must replay them: instances live for months."""
