"""The app that every dea of the example serves: a page that says where it is."""

import html
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INDEX = os.environ["APP_INDEX"]
HOST = os.environ["APP_HOST"]

PAGE = f"""<!doctype html>
<meta charset="utf-8">
<title>hello</title>
<p>hello from dea index {html.escape(INDEX)} on host {html.escape(HOST)}
""".encode()


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(PAGE)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ["APP_PORT"])), Page).serve_forever()
