"""Real worker processes on a real Redis and a real database."""
