"""How things are shown: pure functions from data to words, shapes and pictures."""
