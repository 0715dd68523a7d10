# Boots one machine of a lab and stays until its power is off. Values are arguments, never text of
# this script: $1 machine, $2 bridge, $3 the machine's folder, $4 the base root, then its cgroups.
#
# It runs in a mount namespace of its own, so the overlay and everything that systemd-nspawn puts
# into /run are gone with the last process: no crash can leave a mount behind.
set -eu
machine=$1 bridge=$2 folder=$3 base=$4
shift 4

# The lock tells everybody whether the power is on. The kernel drops it with this shell, so it
# can't be stale, and no process id has to be believed.
exec 9>"$folder/power"
flock -w 10 9

for group in "$@"; do
    echo 0 >"$group/power/cgroup.procs"
done
mount -t overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" \
    overlay "$folder/root"
[ -d /run/systemd ] || mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/systemd
mount -t tmpfs -o mode=0755 tmpfs /run/systemd

while :; do
    status=0
    # systemd-nspawn enters a cgroup apart from this shell's: cgroup v2 wants processes in leaves
    # only. It mustn't hold the lock.
    (
        exec 9>&-
        for group in "$@"; do
            echo 0 >"$group/machine/cgroup.procs" || exit 1
        done
        exec systemd-nspawn --quiet --boot \
            --directory="$folder/root" --machine="$machine" --network-bridge="$bridge" \
            --register=no --keep-unit --notify-ready=yes --console=pipe \
            --resolv-conf=off --timezone=off --link-journal=no
    ) || status=$?
    # 133 is how systemd-nspawn asks to be started again: the machine rebooted itself.
    [ "$status" -eq 133 ] || exit "$status"
done
