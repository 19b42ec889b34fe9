"""The attribution methods, a family a file."""
