"""What every room may use and what knows none of them: clock, randomness, tokens, mail, networks, listeners, garbage.

Enters: nothing but the outside world (a clock, the system's random bytes, an SMTP server).
Leaves: functions and small classes that every room may import.
Writes: no table.
Never imports: any other room but `errors`; no web framework.
"""
