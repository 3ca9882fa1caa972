"""`spanledger stats`: what calls amount to, at a terminal.

arguments.py  what the command takes; imports nothing of the server part
actions.py    what it does: it asks the API
views.py      how the answer looks
"""
