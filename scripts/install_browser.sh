#!/usr/bin/env bash
# Installs chromium, with which the gallery's pages are tested, where that takes no password. Without it those tests skip.
set -euo pipefail

if command -v chromium >/dev/null; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null; then
        exit 0
    fi
fi
echo "no chromium: tests of the gallery in a browser skip; apt-get install chromium brings it" >&2
