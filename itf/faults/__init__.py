"""Fault injection: make calls of any function fail during a test."""

# schedule.py            which calls a plan hits
# outcome_options.py     options of a plan: what happens to a call that is hit
# call_counter.py        count of calls within one process
# shared_count.py        count of calls across processes, in shared memory
# waiters.py             threads and coroutines that wait for a plan
# base_plan.py           BasePlan: counting, waiting and sharing, built from the modules above
# plan.py                FaultPlan: the public constructors
# known_plans.py         all plans of this process, and what a fork does to them
# interceptors.py        the function that stands in for the original and asks the plan first
# applied_plan.py        one plan on one attribute: what happens there to a call that is hit
# patched_attribute.py   one replaced attribute of a module, class or object, and its plans
# targets.py             lookup of the attribute; names by which other processes find its owner
# injection.py           inject_faults: install a plan, remove the plan
# worker_transfer.py     plans sent to the workers of itf
# process_transfer.py    plans sent to processes that the program starts by multiprocessing
# process_start.py       the sending side of one such start
# process_arrival.py     the receiving side
