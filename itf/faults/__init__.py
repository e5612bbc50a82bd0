"""Faults: when a call fails and how, install into any function for the time of a test."""

# schedule.py    which calls are hit
# outcome.py     what becomes of a call that is hit
# counting.py    the count of calls, exact across threads and processes
# gate.py        what a hanging call waits for
# counted.py     how a plan counts and waits: all of these together
# plan.py        FaultPlan: how one is made
# wrapping.py    a function that asks a plan first, and looks like the one it stands for
# layer.py       a plan at one place: what happens there to a call that is hit
# site.py        one attribute of a module, class or object, and the plans on it
# injection.py   inject_faults: put in, taken out again
# sending.py     the faults of a test, in the worker processes that it starts
