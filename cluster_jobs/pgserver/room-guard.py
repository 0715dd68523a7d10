#!/usr/bin/python3
"""room-guard DATABASE: decides whether this room's PostgreSQL may start as it last was.

Runs before Patroni, in schemes in which a person switches between two rooms. A room that comes back
alone knows nothing of a switch: its own ZooKeeper would let it write again beside the room that took
over, on the same timeline number, and no rewind would ever see it. So it asks the other room first,
and where that can't be asked, it doesn't start; a person may overrule that.
Written by paas-cluster-build; exit status 0 lets Patroni start.
"""
import json
import logging
import os
import sys
import urllib.error
import urllib.request

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

logging.disable(logging.CRITICAL)
database = sys.argv[1]
with open(f"/etc/patroni/{database}.guard") as file:
    facts = json.load(file)
override = f"/etc/patroni/{database}.may-start-alone"


def get(host, path):
    """Returns (status, body), or None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{host}{path}", timeout=3) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return None


def says(host, path):
    answer = get(host, path)
    return answer is not None and answer[0] == 200


def go(why):
    print(f"room-guard: {why}")
    sys.exit(0)


def stay(why):
    print(f"room-guard: not started: {why}", file=sys.stderr)
    sys.exit(1)


if any(says(host, path) for host in facts["peers"] for path in ("/primary", "/standby-leader")):
    go("a server of this room leads already")

client = KazooClient(hosts=",".join(facts["zookeeper"]), timeout=10)
try:
    client.start(timeout=15)
except Exception as error:
    stay(f"this room's ZooKeeper doesn't answer ({type(error).__name__})")
path = f"/service/{facts['scope']}/config"
try:
    own = json.loads(client.get(path)[0])
except NoNodeError:
    own = None

answers = [get(host, "/config") for host in facts["others"]]
configs = [json.loads(answer[1]) for answer in answers if answer and answer[0] == 200]
# Promoted, or just being promoted: its configuration says so first.
other_leads = any(says(host, "/primary") for host in facts["others"]) or any(
    not config.get("standby_cluster") for config in configs
)
has_data = os.path.exists(os.path.join(facts["data_dir"], "PG_VERSION"))

if not has_data:
    if own is None or own.get("standby_cluster") or not other_leads:
        go("there is no data here yet")
if own is not None and own.get("standby_cluster"):
    go("this room follows the other one")
if other_leads:
    follower = dict(own or facts["bootstrap"])
    follower["standby_cluster"] = facts["standby_cluster"]
    text = json.dumps(follower, separators=(",", ":")).encode()
    if own is None:
        client.create(path, text, makepath=True)
    else:
        client.set(path, text)
    go("the other room leads: this one follows it from now on")
if configs:
    go("the other room follows this one")
if os.path.exists(override):
    os.unlink(override)
    go("the other room can't be asked, but a person said that this one may start alone")
stay(
    "the other room can't be asked, and it may have taken over; if it's dark, a person decides with "
    f"paas-cluster-build ks recover-pg --db {database} --primary NODE"
)
