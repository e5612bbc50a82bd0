"""How long operations take: samples from anywhere, what they say, and how two of them compare."""

# histogram.py          many numbers in little memory: exact sums, percentiles to half a percent
# samples.py            where the samples of operations arrive
# timing.py             the `with` that takes one
# decorating.py         the same for each call of a function
# tasks.py  memory.py   what else a sample may say: time suspended, bytes allocated
# shared.py             the samples of worker processes, in memory that outlives them
# statistics.py         what is said of an operation
# report.py             the same as a table; and as JSON, there and back
# limits.py  racing.py  scaling.py  what must be fast enough, faster, and no faster growing
# ranks.py              whether a difference is more than chance
# baseline.py           the timings of another day, in a file
