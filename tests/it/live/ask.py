"""Asks a resolver: ask.py udp|tcp NAME [TYPE [EDNS-SIZE]] prints the code, `TC` when cut, and the answers."""
import socket, struct, sys

TYPES = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28}
CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
SERVER = ("127.0.0.11", 53)


def wire(name):
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def query(number, name, kind="A", size=0):
    head = struct.pack(">6H", number, 0x0100, 1, 0, 0, 1 if size else 0)
    opt = b"\0" + struct.pack(">HHIH", 41, size, 0, 0) if size else b""
    return head + wire(name) + struct.pack(">HH", TYPES[kind], 1) + opt


def text(packet, at):
    labels = []
    while packet[at]:
        if packet[at] >= 0xC0:
            at = (packet[at] & 0x3F) << 8 | packet[at + 1]
        else:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
    return ".".join(labels)


def behind(packet, at):
    while packet[at]:
        if packet[at] >= 0xC0:
            return at + 2
        at += 1 + packet[at]
    return at + 1


def read(packet):
    number, flags, questions, answers = struct.unpack(">4H", packet[:8])
    at, said = 12, [CODES[flags & 15]] + (["TC"] if flags & 0x200 else [])
    for _ in range(questions):
        at = behind(packet, at) + 4
    for _ in range(answers):
        at = behind(packet, at)
        kind, _, _, length = struct.unpack(">HHIH", packet[at:at + 10])
        at += 10
        data = packet[at:at + length]
        families = {1: socket.AF_INET, 28: socket.AF_INET6}
        said.append(socket.inet_ntop(families[kind], data) if kind in families else text(packet, at))
        at += length
    return number, " ".join(said)


def udp(timeout=5):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(timeout)
    s.connect(SERVER)
    return s


def tcp(timeout=8):
    return socket.create_connection(SERVER, timeout)


def frame(packet):
    return struct.pack(">H", len(packet)) + packet


def receive(stream):
    def exactly(count):
        data = b""
        while len(data) < count:
            piece = stream.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
    return exactly(struct.unpack(">H", exactly(2))[0])


def main(how, name, kind="A", size="0"):
    packet = query(7, name, kind, int(size))
    try:
        if how == "udp":
            s = udp(2)
            s.send(packet)
            print(read(s.recv(65535))[1])
        else:
            s = tcp()
            s.send(frame(packet))
            print(read(receive(s))[1])
    except OSError as error:
        print(type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
