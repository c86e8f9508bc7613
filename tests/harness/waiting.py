"""Waiting for a condition with a deadline, never for a guessed time."""

import time


class Overdue(AssertionError):
    """A condition did not come true in time."""


def until(probe, what, deadline=15.0):
    """Returns the first truthy value of `probe`; an `OSError` or `AssertionError` counts as not yet."""
    end = time.monotonic() + deadline
    pause = 0.002
    while True:
        try:
            last = probe()
            if last:
                return last
        except Overdue:
            raise
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() >= end:
            raise Overdue(f"not within {deadline} s: {what}; last seen: {last!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
