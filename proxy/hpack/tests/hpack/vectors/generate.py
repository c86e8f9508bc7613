"""Prints header blocks as Python's hpack writes them, for `../vectors.rs`.

Lines: `c` a new connection, `b` a block in hexadecimal, then its fields: `=` or `!` (never indexed), name, tab, value.
"""

import random

import hpack

NAMES = [
    "accept", "accept-encoding", "content-type", "cache-control", "user-agent", "via", "x-request-id", "x-forwarded-for",
    "grpc-status", "traceparent", "x-own", "x-another-name-that-nobody-knows", "te", "b3", "set-cookie", "authorization",
]
VALUES = ["", "a", "gzip, deflate", "application/json", "no-cache", "203.0.113.9", "*/*", "trailers", "Mozilla/5.0 (X11; Linux)"]
PSEUDO = [
    [(":method", "GET"), (":scheme", "https"), (":authority", "www.example.com"), (":path", "/")],
    [(":method", "POST"), (":scheme", "http"), (":authority", "a.example:8080"), (":path", "/a/b?c=d%20e")],
    [(":method", "PURGE"), (":scheme", "http"), (":authority", "[::1]:80"), (":path", "/index.html")],
    [(":status", "200")],
    [(":status", "302")],
    [(":status", "599")],
]
SIZES = [0, 64, 100, 256, 1000, 4096, 16384]


def value(chance: random.Random) -> str:
    if chance.random() < 0.8:
        return chance.choice(VALUES)
    return "".join(chr(chance.randrange(0x21, 0x7F)) for _ in range(chance.choice([1, 5, 36, 130])))


def main() -> None:
    chance = random.Random(7541)
    print("# Written by generate.py with Python's hpack", hpack.__version__)
    for _ in range(6):
        print("c")
        encoder = hpack.Encoder()
        for _ in range(20):
            for _ in range(chance.choice([0, 0, 0, 1, 2])):
                size = chance.choice(SIZES)
                # Told the same size again, it forgets to announce the one before.
                if size != encoder.header_table_size:
                    encoder.header_table_size = size
            fields = [(*field, False) for field in chance.choice(PSEUDO)]
            for _ in range(chance.randrange(12)):
                name = chance.choice(NAMES)
                secret = name == "authorization"
                fields.append((name, value(chance) + "=" * secret, secret))
            block = encoder.encode(
                [(hpack.NeverIndexedHeaderTuple if never else hpack.HeaderTuple)(name, text) for name, text, never in fields],
                huffman=chance.random() < 0.6,
            )
            print("b" + block.hex())
            for name, text, never in fields:
                print(("!" if never else "=") + name + "\t" + text)


main()
