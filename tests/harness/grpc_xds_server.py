"""A grpcio server that is configured over xDS (gRFC A36), in a process of its own: ADDRESS NAME READY."""

import sys
from concurrent import futures
from pathlib import Path

import grpc

from harness.grpcs import Echo


def main(address, name, ready):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), xds=True)
    server.add_generic_rpc_handlers((Echo(name),))
    server.add_secure_port(address, grpc.xds_server_credentials(grpc.insecure_server_credentials()))
    server.start()
    Path(ready).write_text("started")
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
