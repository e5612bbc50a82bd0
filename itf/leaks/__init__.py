"""What a test leaves behind: looked for, put back, told.

kernel, settings, environment, names, tasks  what is there now, in microseconds
snapshot                                     all of it, and what has come since
threads, processes, descriptors,
interpreters                                 what is told of each, and their end
warning_filters                              where `warnings` keeps its filters
origins, watching                            who made it, and where
errors                                       what nobody can catch
garbage, last_words                          what a test leaves to the collector
growth, growth_report                        what grows from call to call
company                                      several tests at once
guard, report                                around one test; what it has to say
scopes, guarding                             around classes, modules, suites, blocks
"""
