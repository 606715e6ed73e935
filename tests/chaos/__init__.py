"""Chaos: workers, Redis and the database fail at random under load; nothing is lost, and nothing happens twice."""
