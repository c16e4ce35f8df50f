#!/usr/bin/env python3
"""Recordings for tests/e2e/wireshark: made by a proxy, cut anew, or written from messages. Captures without rights."""
import random
import socket
import struct
import sys
import threading


class Capture:
    """A pcap file of raw IPv4 packets: TCP connections to one port."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        self.count = 0
        self.lock = threading.Lock()

    def packet(self, source, target, ports, numbers, flags, data=b""):
        tcp = struct.pack(">HHIIBBHHH", *ports, *numbers, 0x50, flags, 65535, 0, 0) + data
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, source, target)
        self.count += 1
        self.file.write(struct.pack("<IIII", 1700000000 + self.count // 1000, self.count % 1000 * 1000, len(header + tcp),
                                    len(header + tcp)) + header + tcp)


class Stream:
    A, B = bytes((10, 1, 1, 1)), bytes((10, 2, 2, 2))

    def __init__(self, capture, client, server):
        self.capture, self.ports, self.next = capture, (client, server), [1000, 5000]
        self.put(0, 0x02, b"")
        self.put(1, 0x12, b"")

    def put(self, side, flags, data):
        ends = (self.A, self.B) if side == 0 else (self.B, self.A)
        ports = self.ports if side == 0 else self.ports[::-1]
        self.capture.packet(*ends, ports, (self.next[side], self.next[1 - side]), flags, data)
        self.next[side] += len(data) + (1 if flags & 0x03 else 0)

    def data(self, side, data, size=16000):
        for at in range(0, len(data), size):
            self.put(side, 0x18, data[at:at + size])


def proxy(path, port, port_file):
    listening = socket.create_server(("127.0.0.1", 0))
    with open(port_file, "w") as file:
        file.write(str(listening.getsockname()[1]))
    client = listening.accept()[0]
    server = socket.create_connection(("127.0.0.1", int(port)))
    capture = Capture(path)
    # A port that no dissector knows: an observer has only the bytes to go by.
    stream = Stream(capture, 40001, 42424 if "direct" in path else 1202)

    def pump(side, source, target):
        try:
            while data := source.recv(16000):
                with capture.lock:
                    stream.data(side, data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    threads = [threading.Thread(target=pump, args=a) for a in ((0, client, server), (1, server, client))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def read(path):
    with open(path, "rb") as file:
        file.read(24)
        while head := file.read(16):
            packet = file.read(struct.unpack("<IIII", head)[2])
            yield 0 if packet[12] == 10 and packet[13] == 1 else 1, packet[40:]


def cut(source, target, size, port="1202"):
    """The same bytes in segments of `size`; what one side says in a row is cut as one."""
    stream, side, waiting = Stream(Capture(target), 40001, int(port)), 0, b""
    for number, data in list(read(source)) + [(2, b"")]:
        if data == b"" and number != 2:
            continue
        if number != side:
            stream.data(side, waiting, int(size))
            side, waiting = number, b""
        waiting += data


def vectors(source, target):
    capture, number = Capture(target), 0
    for line in open(source):
        if line.startswith("#") or not line.strip():
            continue
        name, verdict, text, *facts = line.rstrip("\n").split("\t")
        data = bytes.fromhex(text)
        if not data:
            continue
        stream = Stream(capture, 20000 + number, 1202)
        stream.data(1 if len(data) > 5 and data[5] in (2, 3) else 0, data)
        print(number, verdict, name, facts[0] if facts else "", sep="\t")
        number += 1


def noise(target):
    """Messages with damage, seeded: the same ones each time."""
    capture, chance = Capture(target), random.Random(1)
    offer = bytes.fromhex("4343495001010100001c000000001000000100010200020003504331")
    for number in range(400):
        data = bytearray(offer * chance.randint(1, 3))
        for _ in range(chance.randint(0, 6)):
            data[chance.randrange(4, len(data))] = chance.choice((0, 1, 2, 3, 4, 9, 0x16, 0x7F, 0x80, 0xFF))
        if chance.random() < 0.5:
            del data[chance.randrange(1, len(data)):]
        stream = Stream(capture, 20000 + number, chance.choice((1202, 1720, 1721)))
        stream.data(0, bytes(data), chance.choice((1, 5, 100)))
        stream.data(1, bytes(data[:chance.randint(1, 28)]))


if __name__ == "__main__":
    {"proxy": proxy, "cut": cut, "vectors": vectors, "noise": noise}[sys.argv[1]](*sys.argv[2:])
