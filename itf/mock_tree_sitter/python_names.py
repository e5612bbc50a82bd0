"""Recognition of Python 3.15's identifiers on every Python version."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_name"]

__unittest = True

# Characters that can start an identifier, added in Unicode 15.0 to 17.0 (Python 3.15).
# Python 3.11 has Unicode 14.0, so its `str.isidentifier` rejects them.
_STARTS: Final = (
    "88F C5C CDC 1C89-1C8A A7CB-A7CF A7D2 A7D4 A7DA-A7DC A7F1 105C0-105F3 10940-10959 10D4A-10D65 "
    "10D6F-10D85 10EC2-10EC7 1123F-11240 11380-11389 1138B 1138E 11390-113B5 113B7 113D1 113D3 "
    "11BC0-11BE0 11DB0-11DDB 11F02 11F04-11F10 11F12-11F33 1342F 13441-13446 13460-143FA "
    "16100-1611D 16D40-16D6C 16EA0-16EB8 16EBB-16ED3 16FF2-16FF6 187F8-187FF 18CFF 18D09-18D1E "
    "18D80-18DF2 1B132 1B155 1DF25-1DF2A 1E030-1E06D 1E4D0-1E4EB 1E5D0-1E5ED 1E5F0 1E6C0-1E6DE "
    "1E6E0-1E6E2 1E6E4-1E6E5 1E6E7-1E6ED 1E6F0-1E6F4 1E6FE-1E6FF 2B739-2B73F 2CEA2-2CEAD "
    "2EBF0-2EE5D 31350-33479"
)
# Likewise, characters that an identifier can contain but not start with.
_FOLLOWERS: Final = (
    "897 CF3 ECE 1ACF-1ADD 1AE0-1AEB 200C-200D 30FB FF65 10D40-10D49 10D69-10D6D 10EFA-10EFF 11241 "
    "113B8-113C0 113C2 113C5 113C7-113CA 113CC-113D0 113D2 113E1-113E2 116D0-116E3 11B60-11B67 "
    "11BF0-11BF9 11DE0-11DE9 11F00-11F01 11F03 11F34-11F3A 11F3E-11F42 11F50-11F5A 13440 "
    "13447-13455 1611E-16139 16D70-16D79 1CCF0-1CCF9 1E08F 1E4EC-1E4F9 1E5EE-1E5EF 1E5F1-1E5FA "
    "1E6E3 1E6E6 1E6EE-1E6EF 1E6F5"
)


def _pattern(ranges: str) -> re.Pattern[str]:
    """Return a pattern that matches one character of the ranges, given in hexadecimal."""
    bounds = (part.partition("-") for part in ranges.split())
    spans = (f"{chr(int(first, 16))}-{chr(int(last or first, 16))}" for first, _, last in bounds)
    return re.compile(f"[{''.join(spans)}]")


_START: Final = _pattern(_STARTS)
_FOLLOWER: Final = _pattern(_FOLLOWERS)


def is_name(word: bytes) -> bool:
    """Return whether non-ASCII bytes are an identifier in Python 3.15 or in this Python."""
    try:
        text = word.decode()
    except UnicodeDecodeError:
        return False
    if text.isidentifier():
        return True
    # Replace characters that this Python may not know by ASCII ones of the same class.
    return _FOLLOWER.sub("0", _START.sub("a", text)).isidentifier()
