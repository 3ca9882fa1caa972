"""`spanledger sql`: questions to the ledger at a terminal.

arguments.py  what the command takes; imports nothing of the server part
actions.py    what it does with one query
prompt.py     what it does where no query is given: asks for them, one after the other
tables.py     how results and views look
plot.py       results as charts
"""
