"""Leak detection: compare the process before and after a test, report, restore.

api                                 public functions: blocks, suites, exceptions to the rule
unittest_hooks, policy              detectors of classes and modules; options of a class
detector, registry                  one detector; several detectors active at once
snapshot, leak, leak_report, quick  what is compared; one leak; the text of the report
probes                              one module for each kind of leak
creation_sites, creation_tracing    which test created a thing, and where
gc_check, finalizer_warnings        unclosed resources that the garbage collector frees
growth                              `assert_no_growth`: what grows from call to call
"""
