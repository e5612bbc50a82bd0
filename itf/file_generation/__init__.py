"""Files, trees and projects to test with, none of them outside the directory they are for."""

# path_checks.py     allowed names, from their text alone
# relative_paths.py  links on a path, and whether the result is below the workspace
# workspace_root.py  the directory: every read, write and removal goes through it
# atomic_write.py    writing a temporary file that replaces the old one
# file_content.py    content and sizes as callers give them
# large_files.py     numbered copies of a template, as fast as a disk writes
# languages.py       source text in Python, JavaScript, Rust and C
# defects.py         content of defective files
# trees.py           trees of files from nested mappings
# projects.py        modules that import one another
# mutations.py       small random damage, as a fuzzer does it
# special_files.py   loops of links, unreadable files, sparse files
# capabilities.py    file permissions that hold for root too
