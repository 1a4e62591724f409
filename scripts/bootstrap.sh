#!/bin/sh
# Makes .venv hold exactly the packages of uv.lock. Needs Python 3.11 or newer; fetches uv itself if there is none.
#
# Run it as often as you like: when nothing has changed it takes a fraction of a second and needs no network.
set -eu

# The version that wrote uv.lock. Any uv from UV_MINIMUM on can read it.
UV_VERSION=0.13.8
UV_MINIMUM="0 8"
PYTHON_MINIMUM="3, 11"

cd "$(dirname "$0")/.."

fail() {
    echo "bootstrap: $*" >&2
    exit 1
}

is_python() {
    "$1" -c "import sys; sys.exit(sys.version_info < ($PYTHON_MINIMUM))" >/dev/null 2>&1
}

find_python() {
    # A name may be a shim for a version that is not installed, so each is tried.
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 python; do
        if is_python "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    found=$(python3 --version 2>&1) || found="no python3"
    fail "Florin needs Python ${PYTHON_MINIMUM%,*}.${PYTHON_MINIMUM#*, } or newer, and here is $found;" \
        "install one, or name one: make PYTHON=/path/to/python3.12"
}

is_uv() {
    version=$("$1" --version 2>/dev/null) || return 1
    # shellcheck disable=SC2086  # The words are meant to be split: "uv 0.13.8 (...)", then "0 13 8".
    set -- $version
    number=${2:-0.0}
    major=${number%%.*}
    rest=${number#*.}
    minor=${rest%%.*}
    [ "$major" -gt "${UV_MINIMUM% *}" ] || { [ "$major" -eq "${UV_MINIMUM% *}" ] && [ "$minor" -ge "${UV_MINIMUM#* }" ]; }
}

install_uv() {
    echo "bootstrap: installing uv $UV_VERSION into .tools" >&2
    rm -rf .tools/uv .tools/uv-packages
    mkdir -p .tools
    # Debian ships Python without ensurepip, and with it `venv`, unless python3-venv is installed.
    if "$1" -m venv .tools/uv >/dev/null 2>&1; then
        .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" >&2 && return
    elif "$1" -m pip --version >/dev/null 2>&1; then
        rm -rf .tools/uv
        # --target, because a Python that belongs to the operating system refuses other places (PEP 668).
        "$1" -m pip install --quiet --disable-pip-version-check --target .tools/uv-packages "uv==$UV_VERSION" >&2 && return
    else
        rm -rf .tools/uv
        fail "$1 has neither venv nor pip; install one of them (on Debian: apt-get install python3-venv)," \
            "or uv itself: https://docs.astral.sh/uv"
    fi
    rm -rf .tools/uv .tools/uv-packages
    fail "uv $UV_VERSION could not be installed; is there a network, or a package index that pip knows of?"
}

find_uv() {
    for candidate in uv .tools/uv/bin/uv .tools/uv-packages/bin/uv; do
        if is_uv "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# A folder that was cloned by somebody else would fail later, and less clearly.
[ -w . ] || fail "$(pwd) cannot be written to by $(id -un 2>/dev/null || id -u)"

# In a container or under sudo there may be no home, or somebody else's.
cache_home=${XDG_CACHE_HOME:-${HOME:-}/.cache}
if [ -z "${UV_CACHE_DIR:-}" ] && ! { mkdir -p "$cache_home/uv" && [ -w "$cache_home/uv" ]; } 2>/dev/null; then
    mkdir -p .tools
    UV_CACHE_DIR=$(pwd)/.tools/uv-cache
    export UV_CACHE_DIR
    PIP_NO_CACHE_DIR=1
    export PIP_NO_CACHE_DIR
fi

# uv brings a list of certificate authorities with it; one that this machine was told to trust is in its own list only.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -z "${SSL_CERT_FILE:-}" ] && [ -r "$bundle" ]; then
        SSL_CERT_FILE=$bundle
        export SSL_CERT_FILE
    fi
done

# An environment that is active in this shell is not the one that is meant.
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT

if is_python .venv/bin/python; then
    # Naming another Python would make uv throw this environment away.
    python=.venv/bin/python
    quiet=--quiet
else
    # The first time takes a while, and should be seen to do something.
    python=$(find_python)
    quiet=
fi
uv=$(find_uv) || { install_uv "$(find_python)" && uv=$(find_uv); } || fail "the uv that was installed does not run"

# --frozen: uv.lock is taken as it is, so that nothing from this machine's settings is written into it.
# Compiled, because PYTHONDONTWRITEBYTECODE is set in many containers: `florin dev` then took 20 s to start instead of 5.
# shellcheck disable=SC2086  # An empty word must vanish.
exec "$uv" sync --frozen --compile-bytecode $quiet --python "$python"
