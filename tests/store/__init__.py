"""The store, the client and the host, in one process, on a real database."""
