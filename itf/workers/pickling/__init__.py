"""Pickling by value: functions, classes and what they use, for a worker process."""
