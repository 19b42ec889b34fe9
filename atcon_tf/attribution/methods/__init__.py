"""The attribution methods: one file for each family of methods."""
