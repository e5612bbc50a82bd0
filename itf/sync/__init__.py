"""Synchronization primitives between processes; they survive the SIGKILL of any user."""

# Primitives:
#
# lock.py            lock; lock_entries.py: which threads may hold a lock;
#                    lock_recovery.py: taking a lock over from a dead process
# queue.py  event.py  barrier.py  semaphore.py  counter.py  memory.py
# sequencer.py       numbered steps that run in order
#
# What they are built from:
#
# segment.py         the shared memory of an environment, and its directory
# members.py         the table of processes and threads, and which of them are alive
# record.py          numbers that change all together (double buffering)
# wakeup.py          wake-ups of waiting threads
# os_semaphore.py    semaphores of the operating system in the segment
# serialization.py   objects to bytes and back
# deadline.py        deadlines of waits, the error when one expires, checks of arguments
# deadlock.py        which threads hold and await which locks, and deadlocks
