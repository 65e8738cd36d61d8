#!/bin/sh
# Installs Debian's Chromium, in which tests open pages, where there is none yet. Needs root and apt-get.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "install-browser: no Chromium here; install one yourself (Debian: apt install chromium)" >&2
    exit 1
fi
echo "installing Chromium"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
