"""Your orchestrators and activities: one file for each pattern, to read and to copy."""
