"""Upkeep: how long spans stay, how they are deleted, taken out and brought back."""
