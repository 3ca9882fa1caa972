"""Counting each call once: which spans record the same call, and which of them counts.

groups.py decides, from spans alone; watch.py says where there may be something to decide; resolve.py reads
the spans and writes what was decided into their rows.
"""
