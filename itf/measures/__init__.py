"""How long operations take: samples from anywhere, what they say, and how two of them compare."""

# histogram.py          many numbers in little memory: exact sums, percentiles to half a percent
# samples.py            an operation's samples, and the `with` that takes one
# tasks.py  memory.py   what else a sample may say: time suspended, bytes allocated
# shared.py             the samples of worker processes, in memory that outlives them
# statistics.py         what is said of an operation
# report.py             the same as a table; and as JSON, there and back
# comparing.py  ranks.py  scaling.py  which is faster, by how much, and how it grows
# baseline.py           the timings of another day, in a file
