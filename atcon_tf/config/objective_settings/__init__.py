"""The settings of each objective: a file of flags for each, and one row."""
