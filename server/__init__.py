"""The composition root: the command line and the wiring of collector and API into one process or two."""
