"""A client that knows nothing but protocol.md: it offers, turns to TLS where that is the answer, and says hello. Waits for nothing longer than a minute,
which is patience with a slow machine."""
import socket
import ssl
import struct

from model import OFFERS

CERTS = "build/test-certs"
PATIENCE_S = 60


def parameter(number, value):
    return struct.pack(">HH", number, len(value)) + value


def offer_of(connection):
    body = parameter(1, bytes([OFFERS.index(connection.security) if connection.security in OFFERS else 4]))
    body += parameter(2, connection.sysid.encode())
    if connection.target:
        body += parameter(3, connection.target.encode())
    if connection.tls:
        body += parameter(7, b"\3\3" + (b"\3\4" if connection.tls == "1.3" else b"\3\3"))
    return b"CCIP" + struct.pack(">BBBBHHI", 1, 1, 1, 0, 16 + len(body), 0, 4096) + body


def exactly(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


def answer_of(stream):
    """("accept", security) or ("refuse", code)."""
    header = exactly(stream, 16)
    body = exactly(stream, struct.unpack(">H", header[8:10])[0] - 16)
    if header[5] == 3:
        return "refuse", struct.unpack(">H", header[10:12])[0]
    at = 0
    while struct.unpack(">H", body[at:at + 2])[0] != 1:
        at += 4 + struct.unpack(">H", body[at + 2:at + 4])[0]
    return "accept", body[at + 4]


def to_tls(stream, connection, alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(f"{CERTS}/ca.pem")
    if connection.tls == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols([alpn])
    if connection.shows:
        context.load_cert_chain(f"{CERTS}/client.pem", f"{CERTS}/client.key")
    return context.wrap_socket(stream, server_hostname="localhost")


def echoes(stream):
    stream.sendall(b"hello")
    return exactly(stream, 5) == b"hello"


def meet(port, connection, raw):
    """What a client sees: a list of words, and its own address."""
    seen = []
    stream = socket.socket()
    stream.settimeout(PATIENCE_S)
    stream.bind((connection.source, 0))
    where = "{}:{}".format(*stream.getsockname())
    try:
        stream.connect(("127.0.0.1", port))
        if not raw:
            if connection.security == "direct":
                stream = to_tls(stream, connection, "cci/1")
            stream.sendall(offer_of(connection))
            seen.append("{} {}".format(*answer_of(stream)))
            if seen[0] == "accept 1":
                stream = to_tls(stream, connection, None)
        if not seen or seen[0].startswith("accept"):
            seen.append("echo" if echoes(stream) else "noise")
            if isinstance(stream, ssl.SSLSocket):
                stream = stream.unwrap()
    except OSError:
        pass
    finally:
        stream.close()
    return seen, where
