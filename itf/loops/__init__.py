"""Event loops for tests, and what runs in them."""

# All of these import asyncio: who uses them imports them late.
#
# virtual.py     a loop whose clock jumps to the next timer
# real_work.py   ... and what it must not jump over: jobs of executors, threads
# shuffled.py    a loop that runs what is ready in a seeded order
# selecting.py   ... and what every loop here waits by
# reusable.py    a loop that one test hands on to the next
# case_loop.py   ... what one test does with it, and leaves in it
# kept.py        ... and who keeps it between two tests
# tasks.py       coroutines with deadlines: run, cancelled, told of
# parallel.py    several at once
# waiting.py     how they wait: for an end, a deadline, a deadlock
# stacks.py      where a task is
# executor.py    what a thread is at
# generators.py  async generators that were begun
