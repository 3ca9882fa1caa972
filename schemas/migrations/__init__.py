"""Numbered SQL files, applied once, in order."""
