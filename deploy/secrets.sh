#!/bin/sh
# Makes the files in ./secrets that compose.yaml reads, but for those that are
# there already: new ones for Redis and the webhooks, and empty ones for what
# GitLab and Slack give out. To change one, delete it and run this again; store
# and redis-users belong together.
set -eu
umask 022
cd "$(dirname "$0")"

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# On this machine the directory guards the files. They themselves are readable,
# because each container reads its own as a user of its own.
mkdir -p secrets
chmod 700 secrets
cd secrets

for name in gitlab-token slack-token slack-signing-secret slack-app-token webhook-signing-token admin-oidc-client-secret; do
  [ -e "$name" ] || : >"$name"
done

[ -e webhook-token ] || random >webhook-token

if [ ! -e store ] || [ ! -e redis-users ]; then
  password=$(random)
  hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
  printf 'redis://pipesteward:%s@redis:6379\n' "$password" >store
  # Its own keys and messages, and nothing that looks after the server but the
  # two commands by which it checks that nothing queued can get lost.
  # default is off: nobody can be it. But it keeps its rights, because Redis
  # loads its append-only file as default, and silently leaves out what that
  # may not do.
  cat >redis-users <<EOF
user default off resetpass ~* &* +@all
user health on nopass resetkeys resetchannels -@all +ping
user pipesteward on #$hash ~{pipesteward}:* &{pipesteward}:* +@all -@admin -@dangerous +info +config|get
EOF
fi
