"""Runs the binaries as a user does, and gives tests eyes on both ends of the wire."""
