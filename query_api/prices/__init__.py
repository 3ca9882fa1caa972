"""Prices at the API: what is published, what was set over it, and what every call costs by it.

routes.py      the routes
parameters.py  what they take
books.py       a price book and the lists in use, kept between requests
catalogue.py   models of the lists, with their prices
lookup.py      which entry a call gets
overrides.py   overrides as they are asked for and answered
fetch.py       fetches the current list of genai-prices
unpriced.py    models without a price
cost.py        where the cost of a span comes from
sent.py        usage and cost as a span has them, before they were read
reprice.py     prices calls anew
changes.py     what calls cost now, and which of them said something else
journal.py     writes changes down, then into the rows
runs.py        the repricings there were
"""
