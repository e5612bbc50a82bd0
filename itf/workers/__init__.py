"""Worker processes and threads: the test gets their results and errors, and they always end."""

# worker.py              base class of processes and threads: result, exception, deadlines
# processes.py           worker processes
# threads.py             worker threads
# base.py                the state that all workers of one environment share
#
# start_methods.py       fork, forkserver, spawn, and the choice of "auto"
# forking.py             a fork that never leaves an unknown child
# forkserver_preload.py  the modules that the fork server has imported
# child_setup.py         set-up of a worker process before any code of the user
# pickling/              pickling of functions and classes by value
#
# result_channel.py      the file through which a result or error reaches the parent
# failure.py             posting results and errors, and restoring them in the parent
#
# stack_request.py       requesting the stacks of another process
# stack_dump.py          answering such a request, and the stacks of this process
# kernel_threads.py      the threads of a process as /proc shows them
# hang_report.py         the text about all workers in the message of a timeout
#
# parent_death.py        the pipe that kills workers when their parent dies
# orphans.py             processes that workers left behind
# shutdown.py            the end of all workers
