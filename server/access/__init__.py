"""`spanledger projects` and `spanledger keys`: who may do what in a ledger, at a terminal.

arguments.py  what the commands take; imports nothing of the server part
ledgers.py    where they do it: through the API, or in an embedded database that no server has open
actions.py    what they do
views.py      how the answers look
"""
