#!/bin/sh
# After the installation and each upgrade. The unit needs all secrets to be files:
# an empty one is a secret that is not set.
set -e
for name in gitlab-token webhook-token webhook-signing-token slack-token slack-signing-secret slack-app-token admin-oidc-client-secret store; do
  if [ ! -e /etc/pipesteward/secrets/$name ]; then
    (umask 077; : >/etc/pipesteward/secrets/$name)
  fi
done
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # After an upgrade: nothing is started that was not running.
  systemctl try-restart pipesteward.service
fi
