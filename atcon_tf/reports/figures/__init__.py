"""Figures: matplotlib without a screen, PNG bytes out."""
