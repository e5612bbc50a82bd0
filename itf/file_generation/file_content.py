"""Content and size of a file as a caller gives them: text as UTF-8 bytes, MiB as bytes."""

from __future__ import annotations

from typing import Final

from itf.safe_repr import safe_repr
from itf.validation import check_number

__all__ = ["encode_content", "size_in_bytes"]

__unittest = True

_BYTES_PER_MIB: Final = 1024 * 1024


def size_in_bytes(size_mb: object) -> int:
    """Return a size in MiB as bytes, rounded up to a whole byte.

    Raises:
        TypeError: The size is not an int or float.
        ValueError: The size is negative, NaN or infinite.
    """
    # As a fraction of integers, because a float times 2**20 can be infinite.
    numerator, denominator = check_number("size_mb", size_mb, minimum=0).as_integer_ratio()
    return -(-numerator * _BYTES_PER_MIB // denominator)  # division, rounded up


def encode_content(label: str, value: object, advice: str = "give bytes") -> bytes:
    """Return text as UTF-8 with unchanged line ends, and bytes-like objects as bytes.

    Args:
        label: Description of the value for the error message.
        value: The text or the bytes.
        advice: What the user can do if the text cannot be encoded.

    Raises:
        TypeError: The value is neither text nor bytes.
        ValueError: The text has a surrogate, which UTF-8 cannot encode.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"{label} must be str or bytes, got {safe_repr(value)}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{label} has a surrogate, {value[error.start]!r}, at index {error.start}, "
            f"which UTF-8 cannot encode; {advice}"
        ) from None
