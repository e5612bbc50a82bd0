"""Pickling by value: functions, classes and what they use, for a worker process."""

# pickler.py        the picklers
# reducers.py       how to pickle single types that pickle cannot pickle
# annotations.py    annotations of functions and classes
# used_globals.py   the globals that a function uses, and which have changed
# reconstruct.py    reconstruction in the new process
# diagnosis.py      which value cannot be sent, and what to do instead
# identity.py       a weak mapping by identity
