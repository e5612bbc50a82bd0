"""`assert_no_growth`: the check, and the text of its report."""

from __future__ import annotations

__all__: list[str] = []
