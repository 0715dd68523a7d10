"""Where things are on a host.

Everything hangs on two folders: the release itself, wherever it was unpacked,
and `build_dir` in the home of the user that runs it.
"""

import os
import pwd
import shutil
import socket
from pathlib import Path

RELEASE = Path(__file__).resolve().parents[2]
LOGIN = pwd.getpwuid(os.getuid()).pw_name
# Not $HOME: sudo and systemd do not agree on what to put there.
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
BUILD_DIR = HOME / "build_dir"
APPS = RELEASE / "apps"


def config_file(component: str) -> Path:
    """The file that the builder edits and the component reads at its start."""
    return RELEASE / component / "jobs" / f"{component}.yml.erb"


def data_dir(name: str, system_user: str) -> tuple[Path, str]:
    """The data folder of a database server, and the user who runs the server.

    PostgreSQL and MariaDB refuse to run as root. When the login user is root
    they run as the system user of their package instead, who may not look
    into root's home; then the data is in /var/lib and `build_dir` has a link.
    """
    usual = BUILD_DIR / "data" / name
    usual.parent.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return usual, LOGIN
    real = Path("/var/lib/paas-release") / name / "data"
    real.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.chown(real.parent, system_user)
    if not usual.is_symlink() and not usual.exists():
        usual.symlink_to(real)
    return real, system_user


def become(user: str) -> None:
    """Turn this process, if it is root, into the system user `user`."""
    if os.geteuid() != 0:
        return
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


def own_address(towards_host: str, towards_port: int) -> str:
    """The address by which this host is seen from `towards_host`.

    Asking the kernel for its route is more reliable than asking the host for
    its name. Connecting a UDP socket sends nothing.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        towards_host, towards_port, type=socket.SOCK_DGRAM
    )[0]
    with socket.socket(family, kind, proto) as probe:
        probe.connect(address)
        return probe.getsockname()[0]
