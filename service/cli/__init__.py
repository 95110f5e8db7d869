"""The commands of `python -m service`: serve, push, demo, migrate, rebuild, rotate-keys, import, openapi.

Enters: settings, and the arguments of a command.
Leaves: sentences for the operator.
Writes: no table by itself; a rebuild sets counts right through `projections`.
Never imports: nothing is above it but `__main__`.
"""
