"""Processes and threads that a test starts: their errors come home, and they always end."""

# worker.py        what processes and threads have in common: result, exception, deadlines
# processes.py     worker processes
# threads.py       worker threads
# home.py          what one environment gives to all of its workers
# launching.py     fork, forkserver, spawn; which of them `auto` is
# seedbed.py       what a forkserver has imported already
# bootstrap.py     the first thing that happens in a worker process
# shipping.py      functions and what they capture, sent by value ...
# captured.py      ... which globals those are, and which have changed since import
# rebuilding.py    ... made anew in the new process
# blame.py         ... or refused, by name and with advice
# mailbox.py       how a last word comes home
# failure.py       what a failure looks like, on its way home and there
# stacks.py        what a process says of its threads when it is asked
# asking.py        ... how it is asked, also where it is stuck in C
# tasks.py         ... and what the kernel knows of its threads
# describing.py    the text for whoever waits in vain
# lifeline.py      workers go when their parent goes
# descendants.py   all that workers leave behind
# stopping.py      how all of them end
#
# What they share, and what survives the death of any of them:
#
# arena.py         the one piece of memory that all of it lies in
# roster.py        who takes part, and who of them is alive
# waits.py         deadlines of waits, and the error when one expires
# deadlock.py      which threads hold and await which locks, and deadlocks
# semaphores.py    multiprocessing's own semaphore, in that memory
# cell.py  bell.py a record changed as one; a wake-up that cannot be lost
# messages.py      how an object becomes bytes
# lock.py          the lock
# lock_entries.py  which threads may hold a lock
# lock_recovery.py how a lock is taken over from a dead process
# private.py       the private names of the standard library
# shared_*.py      queue, event, barrier, semaphore, counter, memory
# sequence.py      steps in order
