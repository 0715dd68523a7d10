"""Waits until a component's /health says 200, but not for ever.

    await_health.py URL SECONDS

Exits 0 when it does, 1 with the last reason when the time is over.
"""

import sys
import time

from paas import http


def main() -> int:
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} URL SECONDS")
    url, seconds = sys.argv[1].rstrip("/") + "/health", float(sys.argv[2])
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, answer = http.call("GET", url)
            if status == 200:
                return 0
            problem = str(answer.get("problem", f"it answers {status}"))
        except (http.Unreachable, ValueError) as error:
            problem = str(error)
        if time.monotonic() >= deadline:
            print(f"{url} was not healthy within {seconds:g} seconds: {problem}", file=sys.stderr)
            return 1
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
