"""Forms of the pages, one module for each family."""
