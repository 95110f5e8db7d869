"""What `python -m service` can do: serve, push, demo, migrate, rebuild, rotate-keys, import, openapi.

Enters: settings, and the arguments of a command.
Leaves: sentences for whoever started it.
Writes: no table by itself; a rebuild sets counts right through `projections`.
Never imports: nothing is above it but `__main__`.
"""
