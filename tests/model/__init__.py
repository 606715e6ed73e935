"""The whole of core, store and host against a model that a reader can check in his head."""
