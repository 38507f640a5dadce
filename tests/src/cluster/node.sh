# Makes a node out of its network namespace: mounts of its own over the folders that kubelet and
# containerd insist on, a host name, and a first process whose end is the end of everything in it.
# Arguments: the node's name, the node's folder, the program of the first process.
set -eu
hostname "$1"
mount --bind "$2/lib" /var/lib
mount --bind "$2/log" /var/log
mount -t tmpfs -o mode=755 node /run
mount --make-rshared /
exec unshare --pid sh -c 'setsid "$0" </dev/null >/dev/null 2>&1 &' "$3"
