#!/usr/bin/python3
"""room-guard DATABASE: decides whether this room's PostgreSQL may start as it last was.

Runs before Patroni, in schemes in which a person switches between two rooms. A room that comes back
alone knows nothing of a switch: its own ZooKeeper would let it write again beside the room that took
over, on the same timeline number, and no rewind would ever see it. So it asks the other room first,
and where that can't be asked, it doesn't start; a person may overrule that, once.
Written by paas-cluster-build; exit status 0 lets Patroni start.
"""
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

logging.disable(logging.CRITICAL)
database = sys.argv[1]
with open(f"/etc/patroni/{database}.guard") as file:
    facts = json.load(file)
data = facts["data_dir"]

# A person's word holds for this one look, whatever comes of it.
override = f"/run/paas-{database}.may-start-alone"
may_start_alone = os.path.exists(override)
if may_start_alone:
    os.unlink(override)


def get(host, path):
    """Returns (status, body), "refused" where the host is there and nobody listens, else None."""
    try:
        with urllib.request.urlopen(f"http://{host}{path}", timeout=3) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except urllib.error.URLError as error:
        return "refused" if isinstance(error.reason, ConnectionRefusedError) else None
    except OSError:
        return None


def says(host, path):
    answer = get(host, path)
    return isinstance(answer, tuple) and answer[0] == 200


def leads_there(host):
    """Whether a server of the other room takes writes."""
    return says(host, "/primary")


def leads_the_room(host):
    """Whether one of this room's servers leads it; one that is dark is asked only once."""
    answer = get(host, "/primary")
    if not isinstance(answer, tuple):
        return False
    return answer[0] == 200 or says(host, "/standby-leader")


def serves(member):
    """Whether a ZooKeeper is one of a majority: the client's library would wait long for one."""
    host, port = member.rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1) as link:
            link.sendall(b"srvr")
            said = b""
            while chunk := link.recv(4096):
                said += chunk
            return b"Mode:" in said
    except OSError:
        return False


def go(why):
    print(f"room-guard: {why}")
    sys.exit(0)


def stay(why):
    print(f"room-guard: not started: {why}", file=sys.stderr)
    sys.exit(1)


def local_control():
    """Reads what the data directory says of itself."""
    try:
        with open(os.path.join(data, "PG_VERSION")) as file:
            version = file.read().strip()
    except FileNotFoundError:
        return {}
    # Another release's program can't read it.
    binary = f"/usr/lib/postgresql/{version}/bin/pg_controldata"
    if not os.path.exists(binary):
        stay(f"the data here is of PostgreSQL {version}, which isn't installed")
    said = subprocess.run([binary, data], capture_output=True, text=True, env={"LC_ALL": "C"})
    lines = (line.split(":", 1) for line in said.stdout.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in lines}


def bytes_of(lsn):
    """Reads PostgreSQL's 16/B374D848: two halves in hexadecimal digits."""
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def parted_at(leader, timeline):
    """Where the other room's history left this timeline, in bytes of the log; None if unknown."""
    answer = get(leader, "/history")
    try:
        history = json.loads(answer[1]) if answer[0] == 200 else []
        return next(int(entry[1]) for entry in history if int(entry[0]) == timeline)
    except (TypeError, ValueError, IndexError, StopIteration):
        return None


def has_led(control):
    """Whether this server was the last primary of its room, not one that follows or a fresh copy."""
    state = control.get("Database cluster state", "")
    is_copy = os.path.exists(os.path.join(data, "backup_label"))
    return not is_copy and state not in ("in archive recovery", "shut down in recovery")


def keep_log(control, leader, again):
    """Keeps the end of what this room wrote, which a rewind throws away; the newest two of them."""
    timeline = int(control.get("Latest checkpoint's TimeLineID") or 0)
    parted = parted_at(leader, timeline)
    if control.get("Database cluster state", "").startswith("shut down"):
        # Stopped in order: its end is known, and mostly the other room has all of it.
        end = bytes_of(control.get("Latest checkpoint location") or "0/0")
        if parted is None or end < parted:
            return
    home = os.path.dirname(data)
    found = sorted(name for name in os.listdir(home) if name.startswith("wal.before-"))
    kept = [name for name in found if not name.endswith(".half")]
    # Kept before, and not followed since: what is here now may be half rewound.
    if again and any(not os.path.exists(os.path.join(home, name, "given-up")) for name in kept):
        return
    # What an earlier try couldn't finish is no log.
    for name in [name for name in found if name.endswith(".half")] + kept[:-1]:
        shutil.rmtree(os.path.join(home, name))
    size = int(control.get("Bytes per WAL segment") or 16 << 20)
    first = ""
    if parted is not None:
        first = f"{timeline:08X}{parted >> 32:08X}{(parted & 0xFFFFFFFF) // size:08X}"
    target = os.path.join(home, time.strftime("wal.before-%Y%m%dT%H%M%SZ", time.gmtime()))
    log = os.path.join(data, "pg_wal")
    try:
        os.mkdir(target + ".half", 0o700)
        for name in sorted(os.listdir(log)):
            if os.path.isfile(os.path.join(log, name)) and (len(name) != 24 or name >= first):
                shutil.copy2(os.path.join(log, name), target + ".half")
        os.rename(target + ".half", target)
    except OSError as error:
        shutil.rmtree(target + ".half", ignore_errors=True)
        stay(f"what this room wrote last can't be kept ({error.strerror}); make room in {home}")
    print(f"room-guard: what this room wrote last is kept in {target}")


def may_follow(leader, again):
    """Stays where what is here can't be brought behind the other room's primary; keeps its log else."""
    control = local_control()
    answer = get(leader, "/patroni")
    theirs = json.loads(answer[1]) if isinstance(answer, tuple) else {}
    # It has the lead a moment before PostgreSQL there is promoted, and on its next timeline.
    if theirs.get("role") not in ("master", "primary"):
        stay("the other room is just taking over; its data can't be compared with this room's yet")
    if str(theirs.get("database_system_identifier")) != control.get("Database system identifier"):
        stay("the other room leads, with a database that was never this one's; move this room's data aside")
    # Both were promoted from one point: no rewind sees where they parted.
    if int(theirs.get("timeline") or 0) <= int(control.get("Latest checkpoint's TimeLineID") or 0):
        stay(
            "both rooms have led on one timeline, so this one can't be rewound; "
            f"paas-cluster-build ks recover-pg --db {database} --primary NODE copies it anew"
        )
    keep_log(control, leader, again)


def had_database(hosts, members):
    """Whether the other room has had a database: its servers or its ZooKeeper say so. None where the
    latter can't be asked."""
    for host in hosts:
        answer = get(host, "/patroni")
        if isinstance(answer, tuple) and json.loads(answer[1]).get("database_system_identifier"):
            return True
    if not any(at_once.map(serves, members)):
        return None
    other = KazooClient(hosts=",".join(members), timeout=10, read_only=True)
    try:
        other.start(timeout=15)
        # Empty while its first database is being made.
        return bool(other.get(f"/service/{facts['scope']}/initialize")[0])
    except NoNodeError:
        return False
    except Exception:
        return None
    finally:
        other.stop()


# A held start is tried again, and a machine's boot isn't over while one is under way: so no long waits.
at_once = ThreadPoolExecutor(max_workers=16)
has_data = os.path.exists(os.path.join(data, "PG_VERSION"))
if any(at_once.map(leads_the_room, facts["peers"])):
    # The room may follow by now, and this be the server that led it last.
    if has_data and has_led(local_control()):
        for host, leads in zip(facts["others"], at_once.map(leads_there, facts["others"])):
            if leads:
                may_follow(host, again=True)
                break
    go("a server of this room leads already")
if not any(at_once.map(serves, facts["zookeeper"])):
    stay("this room's ZooKeeper doesn't answer (it has no majority)")

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
configs = [json.loads(answer[1]) for answer in answers if isinstance(answer, tuple) and answer[0] == 200]
leaders = [host for host in facts["others"] if leads_there(host)]
# Promoted, or just being promoted: its configuration says so first.
other_leads = bool(leaders) or any(not config.get("standby_cluster") for config in configs)

follows = own is not None and bool(own.get("standby_cluster"))
if follows and not (leaders and has_data and has_led(local_control())):
    go("this room follows the other one")

if other_leads or follows:
    if has_data:
        if not leaders:
            stay("the other room is just taking over; its data can't be compared with this room's yet")
        may_follow(leaders[0], again=follows)
    if follows:
        go("this room follows the other one")
    follower = dict(own or facts["bootstrap"])
    follower["standby_cluster"] = facts["standby_cluster"]
    # The slot for the other room is the leading room's to keep.
    follower.pop("slots", None)
    text = json.dumps(follower, separators=(",", ":")).encode()
    if own is None:
        client.create(path, text, makepath=True)
    else:
        client.set(path, text)
    # Which of its servers may take over from the last primary matters no more: any of them may lead
    # the room, and the one that starts first has to.
    try:
        client.delete(f"/service/{facts['scope']}/sync")
    except NoNodeError:
        pass
    go("the other room leads: this one follows it from now on")

if not has_data and own is None:
    # Patroni would make an empty database here. The other room's may be the only one that is left.
    known = had_database(facts["others"], facts["others_zookeeper"])
    if known:
        stay(
            "nothing is here, and the other room has the database; paas-cluster-build ks failover --to "
            "it makes it writable, and this one follows then"
        )
    if known is False:
        go("nothing is here yet, nor in the other room: a first start")
    if not may_start_alone:
        asked = ", ".join(facts["others_zookeeper"])
        stay(f"nothing is here, and for a first start the other room's ZooKeeper must be asked: {asked}")
elif configs:
    go("the other room follows this one, or waits for it")
if may_start_alone:
    go("the other room can't be asked, but a person said that this one may start alone")
stay(
    "the other room can't be asked, and it may have taken over; if it's dark, a person decides with "
    f"paas-cluster-build ks recover-pg --db {database} --primary NODE"
)
