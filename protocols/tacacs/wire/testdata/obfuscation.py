#!/usr/bin/env python3
"""Writes obfuscation.txt: packets in clear and obfuscated, by RFC 8907 section 4.5, with nothing but hashlib.

A line is a secret, a packet in clear and the packet obfuscated, all in hexadecimal.
"""

import hashlib
import struct

SECRETS = [b"k", b"testing123", b"s" * 33, b"t" * 34, b"u" * 58, b"v" * 97, b"w" * 98, bytes(range(1, 256))]
LENGTHS = [0, 1, 15, 16, 17, 43, 64, 255, 300]


def pad(secret, version, seq, session, size):
    out, last = b"", b""
    while len(out) < size:
        last = hashlib.md5(struct.pack("!I", session) + secret + bytes([version, seq]) + last).digest()
        out += last
    return out[:size]


def main():
    with open("obfuscation.txt", "w", encoding="ascii") as lines:
        for i, secret in enumerate(SECRETS):
            for j, size in enumerate(LENGTHS):
                version, kind, seq = 0xC0 | j % 2, 1 + i % 3, 1 + (7 * i + j) % 254
                session = int.from_bytes(hashlib.sha256(bytes([i, j])).digest()[:4], "big")
                header = struct.pack("!BBBBII", version, kind, seq, 0, session, size)
                body = bytes((3 * i + 5 * j + k) % 256 for k in range(size))
                masked = bytes(a ^ b for a, b in zip(body, pad(secret, version, seq, session, size)))
                print(secret.hex(), (header + body).hex(), (header + masked).hex(), file=lines)


main()
