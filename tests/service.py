"""What a stand-in of an instance runs."""

SERVICE = r"""
import json, socket, sys, threading
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
status = {"instance": sys.argv[2], "role": sys.argv[3], "epoch": 1, "fenced": False}
def serve(link):
    with link:
        rest = b""
        while data := link.recv(65536):
            if data.startswith((b"GET", b"POST")):
                act = data.split(b" ")[1].rpartition(b"/")[2]
                if act in (b"fence", b"unfence"):
                    status.update(fenced=act == b"fence", role="standby")
                body = json.dumps(status).encode()
                head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                link.sendall(head.encode() + body)
                continue
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                rows = ",".join("[%d,null]" % row[0] for row in json.loads(line).get("q", ()))
                link.sendall(b'{"a":[%s]}\n' % rows.encode())
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
"""An instance: answers /status, takes a fence, and answers any other line as an engine answers a query."""
