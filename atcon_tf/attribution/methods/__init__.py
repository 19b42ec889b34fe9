"""The attribution methods; each file has one family.

Each is a function `fn(pass_, class_index, **options) -> [B, h, w]`. The row of
a method in `attribution/registry.py` has all other facts about it.
"""
