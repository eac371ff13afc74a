#!/bin/sh
# After the removal. dpkg says purge when nothing shall remain: neither the secrets, which
# postinstall.sh made, nor the state, which lies in private because of DynamicUser.
set -e
case "$1" in
purge) rm -rf /etc/pipesteward/secrets /var/lib/private/pipesteward /var/lib/pipesteward ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
