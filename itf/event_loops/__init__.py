"""Event loops for tests, and helpers that run coroutines in them."""

# All modules import asyncio. Import them inside functions, so that a test
# without coroutines does not pay for the import of asyncio.
#
# case_loop.py         the event loop of one test of AsyncIntegrationTestCase
# round_timer.py       measures how long callbacks block a loop
# virtual_loop.py      event loop with a virtual clock, which jumps to the next timer
# shuffled_loop.py     event loop that runs ready tasks in an order drawn from a seed
# deadlines.py         deadlines that count on the virtual and on the real clock
# external_work.py     executor jobs and threads for which a virtual clock must wait
# wrapped_selector.py  base class of the selectors of these loops
# tracked_executor.py  thread pool that names what its threads run
# task_deadlines.py    coroutines with a timeout; cancelling and reporting of leftovers
# gather.py            several coroutines at once, with a limit
# wait.py              waiting for futures, a timeout or a deadlock
# task_stacks.py       stacks of suspended tasks, as text
# async_generators.py  asynchronous generators that a test has not closed
