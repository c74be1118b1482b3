"""A resolver of elsewhere: upstream.py ADDRESS LOG. `slow*` waits until
somebody asks for `release*`, `gone*` does not exist, `broken*` fails, `big*`
needs TCP, and every other name has one address more each time it is asked for. What is asked is written to LOG."""
import select, socket, struct, sys

address, log = sys.argv[1], open(sys.argv[2], "a", buffering=1)
family = socket.AF_INET6 if ":" in address else socket.AF_INET
datagrams = socket.socket(family, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
datagrams.bind((address, 53))
streams = socket.socket(family, socket.SOCK_STREAM)
streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
streams.bind((address, 53))
streams.listen(64)
print("ready", flush=True)
count = 0


def answer(packet, stream):
    global count
    end = 12
    while packet[end]:
        end += 1 + packet[end]
    name, question = packet[13:13 + packet[12]].decode().lower(), packet[12:end + 5]
    count += 1
    log.write(f"{name}\n")
    records, authority, flags = [], b"", 0x8180
    if name.startswith("gone"):
        soa = b"\0" + b"\0" + struct.pack(">5I", 1, 1, 1, 1, 60)
        authority = b"\0" + struct.pack(">HHIH", 6, 1, 60, len(soa)) + soa
        flags |= 3
    elif name.startswith("broken"):
        flags |= 2
    elif name.startswith("big") and not stream:
        flags |= 0x200
    else:
        for last in range(100 if name.startswith("big") else 1):
            data = bytes([203, 0, 113, last if stream else count % 250])
            records.append(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + data)
    head = packet[:2] + struct.pack(">5H", flags, 1, len(records), 1 if authority else 0, 0)
    return name, head + question + b"".join(records) + authority


later, released = [], False
while True:
    ready = select.select([datagrams, streams], [], [])[0]
    if datagrams in ready:
        packet, peer = datagrams.recvfrom(65535)
        name, text = answer(packet, False)
        later.append((text, peer))
        released = released or name.startswith("release")
        if released or not name.startswith("slow"):
            held = [] if released else later[:-1]
            for text, peer in later[len(held):]:
                datagrams.sendto(text, peer)
            later = held
    if streams in ready:
        stream, _ = streams.accept()
        packet = stream.recv(65535)
        text = answer(packet[2:], True)[1]
        stream.send(struct.pack(">H", len(text)) + text)
        stream.close()
