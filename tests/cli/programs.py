"""Small child processes for the supervision laws; each is the text of a Python program."""

import sys

from services.cli.supervisor import Child

SERVES = """
import http.server, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit(0)))
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("serving", flush=True)
server.serve_forever()
"""
DIES = "import sys; print('cannot load the model', flush=True); sys.exit(3)"
DIES_WHEN_ASKED = "import sys; sys.stdin = open(sys.argv[1]); sys.stdin.read(); sys.exit(4)"
IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn", flush=True)
time.sleep(600)
"""
LEAVES_A_GRANDCHILD = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(worker.pid, flush=True)
sys.exit(5)
"""


def program(name: str, text: str, *arguments: object, ready_url: str | None = None) -> Child:
    """A child that runs `text`."""
    return Child(name, [sys.executable, "-c", text, *map(str, arguments)], ready_url=ready_url)


def server(name: str, port: int) -> Child:
    """A child that is ready once it listens, and says `drained` when it is told to stop."""
    return program(name, SERVES, port, ready_url=f"http://127.0.0.1:{port}/readyz")
