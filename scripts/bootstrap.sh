#!/bin/sh
# Makes .venv exactly as requirements/lock.txt says, by hash, and installs the checkout into it. Nothing to do is
# found out in a few milliseconds. PYTHON picks the interpreter; uv is taken from the PATH, else put into .venv.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "bootstrap: $*" >&2
    exit 1
}

fits() { # a Python of 3.11 to 3.13?
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- .venv/bin/python python3.13 python3.12 python3.11 python3
    fi
    for candidate in "$@"; do
        if fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# What decides the environment's content. The interpreter's own version is in pyvenv.cfg; PYTHON may ask for another.
digest() {
    cat requirements/lock.txt pyproject.toml scripts/bootstrap.sh .venv/pyvenv.cfg | cksum
    echo "${PYTHON:-} $(pwd)"
}

stamp=.venv/bootstrap.stamp
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(digest)" = "$(cat "$stamp")" ]; then
    exit 0
fi

python=$(find_python) || fail "${PYTHON:-nothing on the PATH} does not run as a Python of 3.11 to 3.13. Install one (Debian: apt install python3 python3-venv), or set PYTHON to its path"

# An environment of another version than PYTHON's, or one whose interpreter is gone, is made anew.
version() { "$1" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }
if [ -d .venv ] && [ "$(version .venv/bin/python)" != "$(version "$python")" ]; then
    rm -rf .venv
fi

uv=$(command -v uv || true)
[ -z "$uv" ] && [ -x .venv/bin/uv ] && uv=.venv/bin/uv
if [ ! -x .venv/bin/python ]; then
    echo "making .venv with $python"
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$python" .venv
    else
        "$python" -m venv .venv 2>/dev/null || {
            rm -rf .venv
            fail "$python has no venv module. Install it (Debian: apt install python3-venv), or put uv on the PATH"
        }
    fi
fi
if [ -z "$uv" ]; then
    echo "installing uv into .venv"
    wanted=$(mktemp)
    trap 'rm -f "$wanted"' EXIT
    # The lock's entry of uv: its line and the hashes that follow it.
    awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements/lock.txt >"$wanted"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$wanted"
    uv=.venv/bin/uv
fi

echo "installing what requirements/lock.txt lists"
VIRTUAL_ENV=$(pwd)/.venv
export VIRTUAL_ENV
# Compiled now, in parallel: Airflow's four components would compile it at their first start, and take thrice as long.
"$uv" pip sync --quiet --require-hashes --compile-bytecode requirements/lock.txt
"$uv" pip install --quiet --no-deps --no-build-isolation --editable .
digest >"$stamp"
