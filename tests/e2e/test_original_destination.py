"""Connections that the kernel redirected go where they were meant to."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
TESTS = Path(__file__).parents[1]
NEEDS = ("unshare", "ip", "nft")

able = os.geteuid() == 0 and all(shutil.which(program, path=PATH) for program in NEEDS)


@pytest.mark.skipif(not able, reason=f"needs root and {', '.join(NEEDS)}, to redirect in a namespace of its own")
def test_a_redirected_connection_goes_to_the_listener_it_was_meant_for(proxy_kind):
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "harness.redirected", proxy_kind],
        cwd=TESTS,
        env={**os.environ, "PATH": PATH, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "127.0.0.1 9000": "four exact",
        "127.0.0.1 9001": "four wild",
        "127.0.0.1 9002": "four for 9002",
        "127.0.0.1 9003": "four outer",
        # Redirection on output goes to 127.0.0.1, from any address of loopback.
        "127.0.0.2 9000": "four outer",
        "127.0.0.2 9001": "four wild",
        "127.0.0.2 9002": "four for 9002",
        "127.0.0.2 9003": "four outer",
        "::1 9000": "six exact",
        "::1 9001": "six wild",
        "::1 9002": "six for 9002",
        "::1 9003": "six outer",
        "original_dst alone": "told 9004",
        "not redirected": "own address",
    }
