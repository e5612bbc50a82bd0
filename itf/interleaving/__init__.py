"""Threads that run one at a time, in an order derived from a seed, so that a failure replays."""

# interleaving.py         interleave(), the public function
# runner.py               all runs of one call, and the error of the first failure
# run_supervisor.py       starts and ends the threads of a run; timeout and stalls
# arguments.py            checks of the arguments of interleave()
# call_lock.py            lets one call of interleave() run at a time
# interleaving_report.py  text of the error: turns, deadlock, threads that do not end
# patching.py             replaces locks, queues and clocks while interleave() runs, then restores
# references.py           walks the references that an object holds, to replace locks in them
# primitives.py           replacements for Lock and RLock
# condition.py            replacement for Condition
# simple_queue.py         replacement for SimpleQueue
# time_patches.py         replacements for clocks, sleep, Thread.start and Thread.join
# tracing.py              calls the scheduler before instructions of user code
# opcodes.py              classifies opcodes: where a thread switch can make a difference
# scheduler.py            runs one thread at a time
# scheduling_policy.py    chooses the next thread; virtual time; detection of deadlocks
# current.py              the scheduler that is active in this process
# managed_thread.py       state of one thread of a run: what it waits for and holds
# pct_strategy.py         random priorities and preemptions, from a seed (PCT)
