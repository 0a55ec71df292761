"""Python's websockets on a server's WebSocket: python websocket.py (converse|echo) URL

Ends with status 0 if everything went as RFC 6455 and the server's own words promise.
"""

import json
import sys
import time

from websockets.sync.client import connect

# How long anything may take.
PATIENCE = 20


def next_object(socket):
    message = socket.recv(timeout=PATIENCE)
    assert isinstance(message, str), message
    return json.loads(message)


def publish_and_hear(socket, text):
    socket.send(text)
    event = next_object(socket)
    assert (event["type"], event["data"]) == ("event", text), event
    return event["id"]


def converse(socket):
    welcome = next_object(socket)
    assert (welcome["type"], welcome["missed"]) == ("welcome", False), welcome
    epoch = welcome["cursor"].split("-")[0]
    assert publish_and_hear(socket, "hello") == f"{epoch}-1"
    assert publish_and_hear(socket, "안녕하세요") == f"{epoch}-2"

    assert socket.ping("are you there?").wait(PATIENCE), "no pong"

    # The server asks too, every two seconds, and the library answers by itself: this outlives the
    # four seconds after which a client that does not answer is gone.
    time.sleep(5)
    assert publish_and_hear(socket, "still there") == f"{epoch}-3"


def echo(socket):
    for size in [0, 1, 20, 125, 126, 1000, 65535, 65536, 1 << 20]:
        # Three bytes a letter, and what is left over in letters of one byte.
        text = "벨" * (size // 3) + "x" * (size % 3)
        socket.send(text)
        assert socket.recv(timeout=PATIENCE) == text, f"a text of {size} bytes"

        data = bytes(at * 7 % 256 for at in range(size))
        socket.send(data)
        assert socket.recv(timeout=PATIENCE) == data, f"{size} bytes"


def main():
    scenario, url = sys.argv[1:]
    with connect(url, max_size=None, ping_interval=None, proxy=None) as socket:
        {"converse": converse, "echo": echo}[scenario](socket)
        socket.close(1000, "enough")
        assert socket.close_code == 1000, socket.close_code
        assert socket.protocol.close_rcvd.code == 1000, socket.protocol.close_rcvd
    print(", ".join(["closed with 1000", *(extension.name for extension in socket.protocol.extensions)]))


main()
