"""Files, trees and projects to test with, none of them outside the directory they are for."""

# names.py         which names are names of files below a directory
# place.py         the directory: every way to a name in it, and the removal of what was made
# arguments.py     what callers pass, checked
# units.py         numbered units, at nearly the speed of writing
# sources.py       the four languages: what units and valid files look like in them
# defects.py       what can be wrong with a file
# trees.py         a tree out of nested mappings
# projects.py      a tree of modules that import one another
# mutations.py     a fuzzer's small damage
# privileges.py    root, for whom permissions do not count, and how they do
