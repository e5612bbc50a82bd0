"""Probes: one module for each kind of leak."""

from __future__ import annotations

__all__: list[str] = []
