"""Processes and threads that a test starts: their errors come home, and they always end."""

# failure.py     what a worker's failure looks like, here and on its way home
# processes.py   worker processes
# threads.py     worker threads
# stopping.py    how all of them end
