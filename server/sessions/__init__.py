"""`spanledger conversations` and `spanledger users`: who talked, how much, and what it cost.

arguments.py  what the commands take; imports nothing of the server part
actions.py    what they do: each asks the API
views.py      how the answers look
"""
