# Makes systemd the init of namespaces that are the caller's own already, with netform ($1), its unit ($2) and a manifest
# ($3) in their places, and nothing else to start. It writes to nothing that the host sees.
set -e
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for place in /run /var/lib /var/log /usr/local/bin /etc/systemd/system /lib/systemd/system/*.wants; do
    mount -t tmpfs -o mode=755 tmpfs "$place"
done
mkdir -p /run/nodes /etc/netform
for node in null zero full random urandom tty; do
    touch /run/nodes/$node
    mount --bind /dev/$node /run/nodes/$node
done
mount --rbind /run/nodes /dev
mkdir /dev/pts /dev/shm
cp "$1" /usr/local/bin/netform
cp "$2" /etc/systemd/system/
cp "$3" /etc/netform/
printf '[Unit]\nDescription=netform\nWants=netform-watch.service systemd-journald.service\n' \
    > /etc/systemd/system/trial.target
exec env -i PATH="$PATH" container=netform \
    /lib/systemd/systemd --unit=trial.target --show-status=no --log-target=journal < /dev/null
