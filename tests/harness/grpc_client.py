"""Run as a program: makes the calls that a file asks for, over one channel, until it is ended."""

import json
import sys
from pathlib import Path

import grpc

from harness import grpcs
from harness.waiting import until


def outcome(channel, command):
    """What came of one call."""
    try:
        metadata = tuple(tuple(pair) for pair in command["metadata"])
        answer, upstream = grpcs.unary(channel, command["body"].encode(), command["method"], metadata, 20)
        return {"code": "OK", "upstream": upstream, "body": answer.decode(), "details": ""}
    except grpc.RpcError as error:
        return {"code": error.code().name, "upstream": None, "body": "", "details": error.details()}


def main(target, commands, replies):
    channel = grpc.insecure_channel(target)
    done = 0
    with Path(replies).open("a", buffering=1) as out:
        while True:
            lines = until(lambda: Path(commands).read_text().splitlines()[done:], "a command", 300)
            for line in lines:
                out.write(json.dumps(outcome(channel, json.loads(line))) + "\n")
            done += len(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
