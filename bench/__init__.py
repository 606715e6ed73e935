"""Measures the host beside others, on the same machine and in the same run: ``python -m bench``."""
