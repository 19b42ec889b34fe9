"""The settings of each objective: a file of flags and a row in a registry."""
