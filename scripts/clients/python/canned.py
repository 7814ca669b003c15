"""Connections made of canned bytes: cheap enough that ten thousand of them leave the machine to the server."""

import socket
import struct

# Nothing that these wait for takes longer than a burst of connects.
RECEIVE_SECONDS_MAX = 30
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def text_frame(text):
    """A client's WebSocket frame; a mask of zeros leaves the payload readable (RFC 6455, section 5.3)."""
    payload = text.encode()
    if len(payload) < 126:
        return struct.pack("!BB4x", 0x81, 0x80 | len(payload)) + payload
    return struct.pack("!BBH4x", 0x81, 0xFE, len(payload)) + payload


def server_frames(data):
    """The whole frames at the start of what a server sent, as (opcode, payload), and the rest."""
    frames, place = [], 0
    while len(data) >= place + 2:
        length, head = data[place + 1], 2
        if length == 126:
            if len(data) < place + 4:
                break
            length, head = struct.unpack_from("!H", data, place + 2)[0], 4
        assert length < 127, "a frame of more than 64 KiB"
        if len(data) < place + head + length:
            break
        frames.append((data[place] & 0x0F, data[place + head:place + head + length]))
        place += head + length
    return frames, data[place:]


def open_socket(address, source):
    """A connection from the source address given, which closes with a reset: no TIME_WAIT is left of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The kernel picks the port at connect, when it knows both ends: ports can then be used twice.
    connection.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    connection.settimeout(RECEIVE_SECONDS_MAX)
    connection.bind((source, 0))
    connection.connect(address)
    return connection


def request(target, more=""):
    """A GET."""
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def read_until(connection, mark):
    """Reads up to and past the mark, and returns all of it."""
    data = b""
    while mark not in data:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"closed after {data!r}")
        data += piece
    return data


def establish(connection, mark):
    """Reads the head of an answer that opens a stream, and up to the mark in what follows."""
    head = read_until(connection, b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 200 ")):
        raise ConnectionError(f"refused: {head[:80]!r}")
    if mark not in head:
        read_until(connection, mark)
