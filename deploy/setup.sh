# Makes .venv ready to run Vigil; sourced by ./run and ./test, which set `lock` and `extra` first. POSIX sh.
# Nothing but Python >= 3.11 is needed. No registry's host is named: PIP_INDEX_URL, UV_DEFAULT_INDEX and npm's own
# configuration say where a mirror is, and the system's certificates are trusted (hospitals inspect TLS).
export UV_SYSTEM_CERTS=true UV_PYTHON_PREFERENCE=only-system NODE_USE_SYSTEM_CA=1 PIP_DISABLE_PIP_VERSION_CHECK=1
PATH=$PATH:/usr/sbin:/sbin
# Each service and each test starts a Python: compiled once, also where the machine says not to. Nothing lies beside the
# sources.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$PWD/.venv/pycache"

say() { printf '%s\n' "$*" >&2; }
fail() { say "$0: $*"; exit 1; }

# as_root COMMAND...: directly for root, by sudo where it asks nothing, else not at all
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

# The system's own comes first: the distribution keeps it up to date, and builds it for speed, which one from a version
# manager need not be. One that can make an environment as it is comes before one that needs a package for that.
find_python() {
    for needed in 'import ensurepip, venv' ''; do
        for candidate in /usr/bin/python3 python3 python3.11 python3.12 python3.13 python3.14; do
            if command -v "$candidate" >/dev/null 2>&1 &&
                "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
                "$candidate" -c "$needed" 2>/dev/null; then
                command -v "$candidate"
                return
            fi
        done
    done
    fail "needs Python 3.11 or newer; on Debian 12: apt-get install python3"
}

make_venv() {
    python=$(find_python) || exit 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "installing python3-venv ..."
        install_packages python3-venv || fail "needs the venv module; as root: apt-get install python3-venv"
    fi
    rm -rf .venv
    "$python" -m venv .venv || fail "could not make .venv with $python"
}

# what the environment is made of; when none of it has changed there is nothing to do
stamp_now() {
    { echo "$extra $PWD"; cat pyproject.toml "$lock" deploy/uv.lock
      find edge/console/web -type f -not -path '*/node_modules/*' -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs cat; } | cksum
}

# two at once in one checkout, ./run beside ./test: each would take the environment from under the other
exec 9<deploy/setup.sh
! command -v flock >/dev/null 2>&1 || flock 9
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    make_venv
fi
stamp=$(stamp_now)
if [ "$(cat .venv/vigil-stamp 2>/dev/null)" != "$stamp" ] &&
    [ "$(cat .venv/vigil-stamp 2>/dev/null)" != "$(extra=test; lock=deploy/requirements-test.lock; stamp_now)" ]; then
    say "setting up .venv ..."
    if [ ! -x .venv/bin/uv ]; then
        .venv/bin/python -m pip install -q --require-hashes -r deploy/uv.lock || fail "could not install uv with pip"
    fi
    .venv/bin/uv pip install -q --python .venv/bin/python --require-hashes -r "$lock" || fail "could not install $lock"
    .venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e . ||
        fail "could not install Vigil (its page is built by the Node in the lock; see the lines above)"
    echo "$stamp" >.venv/vigil-stamp
fi
exec 9<&-
