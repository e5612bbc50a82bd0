"""Timing of operations: samples, statistics, and comparisons."""

# timing.py               context manager that takes one sample
# decorator.py            the same for each call of a function
# memory.py               memory that a block allocates
# samples.py              buffers in which samples arrive; the recorder of one monitor
# operation_samples.py    the samples of one operation
# histogram.py            exact sums and approximate percentiles in little memory
# crash_safe_samples.py   samples of worker processes, in a file that survives a SIGKILL
# sample_block.py         the layout of that file
# statistics.py           statistics of an operation
# table.py                samples as a table and as JSON
# limits.py               check against limits
# comparison.py           comparison of two functions
# complexity.py           complexity class of a function
# mann_whitney.py         Mann-Whitney test, confidence interval of the median
# baseline.py             comparison with an earlier run
