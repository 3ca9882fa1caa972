"""From the bytes of OTLP requests to a block in ClickHouse's Native format, in compiled code.

    wire.py      reads protobuf
    scan.py      what of a request can be stored, and why the rest cannot
    text.py      values as JSON text, and numbers out of text
    memory.py    the arrays that all share; equal strings of a column get one number there
    spans.py     spans become cells, entries and references: what stands where
    logs.py      the same for log records, and which of them can be stored
    requests.py  walks requests, resource by resource and scope by scope
    costs.py     which cost of a span counts, the reported or the computed one
    native.py    cells, entries and references become the bytes that ClickHouse reads
    tables.py    what each table is made of

The functions marked @compiled are compiled to machine code by numba when they are first called, and run
without the interpreter's lock. They know integers and arrays only; what needs more is done once for each
distinct value, in Python.
"""
