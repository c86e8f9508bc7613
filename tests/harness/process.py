"""Child processes whose output is kept until their test has passed."""

import os
import signal
import subprocess
from pathlib import Path

from harness.waiting import until

#: Every process of this test run that has not been forgotten yet, for reports of failures.
LIVE = []

TAIL = 12_000


class Process:
    """One child process, its output in one file."""

    def __init__(self, name, argv, directory, env=None):
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log = Path(directory) / f"{name}.log"
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**clean_environment(), "XDG_STATE_HOME": str(directory), **(env or {})},
                cwd=directory,
            )
        LIVE.append(self)

    @property
    def pid(self):
        return self._child.pid

    @property
    def exit_code(self):
        """None while it runs."""
        return self._child.poll()

    def require_alive(self):
        """Raises what nobody should wait out: the process has ended."""
        if self.exit_code is not None:
            raise RuntimeError(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")

    def tail(self):
        """The end of what it wrote."""
        return self.log.read_bytes()[-TAIL:].decode(errors="replace")

    def signal(self, number=signal.SIGTERM):
        if self.exit_code is None:
            self._child.send_signal(number)

    def wait(self, deadline=20.0):
        """Its exit code."""
        until(lambda: self.exit_code is not None, f"{self.name} to end", deadline)
        return self.exit_code

    def stop(self):
        """Ends it, by force when it does not listen."""
        self.signal(signal.SIGTERM)
        try:
            self._child.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self.kill()
        if self in LIVE:
            LIVE.remove(self)

    def kill(self):
        """What a crash or the kernel's out-of-memory killer does."""
        if self.exit_code is None:
            self._child.kill()
            self._child.wait()


def clean_environment():
    """Ours without what would send loopback traffic elsewhere or configure our binaries."""
    dropped = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy"}
    return {
        key: value
        for key, value in os.environ.items()
        if key.lower() not in dropped and not key.startswith(("WEFT_", "GRPC_"))
    }


def run(argv, directory, env=None, deadline=60, stdin=None):
    """Runs to the end; the result has `returncode`, `stdout` and `stderr`."""
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [str(part) for part in argv],
        **given,
        capture_output=True,
        text=True,
        timeout=deadline,
        cwd=directory,
        env={**clean_environment(), **(env or {})},
    )
