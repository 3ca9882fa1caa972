"""`spanledger prices`: the prices of a ledger at a terminal.

arguments.py  what the commands take; imports nothing of the server part
actions.py    what they do: each asks the API
views.py      how the answers look
"""
