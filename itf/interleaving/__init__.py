"""Threads that run in an order chosen by a seed, so that what goes wrong once goes wrong again."""

# interleaving.py   interleave(): the runs, and the error of the first that fails
# arguments.py      ... what it is given
# report.py         what that error says
# patching.py       what of threading, queue and time is taken over, and put back
# slots.py          ... where objects keep others
# primitives.py     the lock, condition and queue that stand in for them
# time_patches.py    ... the clock, sleep, start and join of a thread
# tracing.py        where code may be interrupted, and who is called there
# opcodes.py        ... before which instructions
# scheduler.py      one thread at a time: whose turn it is, who waits, who waits in vain
# current_run.py         ... which one runs now
# threads.py          ... where each of them stands
# choices.py        ... by a seed
