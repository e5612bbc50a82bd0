"""Synchronization primitives between processes; they survive the SIGKILL of any user."""
