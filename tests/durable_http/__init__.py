"""Durable HTTP calls: the task of the core, the activity against real servers, and both under a host."""
