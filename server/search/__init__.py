"""`spanledger traces` and `spanledger spans`: the search at a terminal.

arguments.py  what the commands take; imports nothing of the server part
actions.py    what they do: each asks the API
views.py      how spans look in a table
"""
