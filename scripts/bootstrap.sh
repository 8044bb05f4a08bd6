#!/bin/sh
# Makes .venv from the lock and gets the sandbox's parts. No root, no system packages. Quiet when nothing is to be done.
# --kubernetes: the parts of the sandbox's Kubernetes as well, which are built once, in about five minutes.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
  # the newest tried version first; pyenv's shims answer for versions that are not chosen, so ask each, never trust a name
  for name in ${MUSTER_PYTHON:-} python3.12 python3.13 python3.14 python3; do
    path=$(command -v "$name" 2>/dev/null) && usable "$path" && { echo "$path"; return 0; }
  done
  for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv" /root/.pyenv /opt/pyenv /usr/local/pyenv; do
    [ -n "$root" ] || continue
    for path in "$root"/versions/3.1[2-9]*/bin/python; do
      [ -x "$path" ] && usable "$path" && { echo "$path"; return 0; }
    done
  done
  if command -v uv >/dev/null 2>&1; then
    uv python find '>=3.12' 2>/dev/null && return 0
    uv python install 3.12 >&2 && uv python find '>=3.12' 2>/dev/null && return 0
  fi
  return 1
}

stamp() { # what the environment depends on
  cat pyproject.toml uv.lock | cksum
}

if [ ! -x .venv/bin/python ] || [ "$(cat .venv/.muster-stamp 2>/dev/null)" != "$(stamp)" ]; then
  # one set-up at a time: two makes in one checkout must not fight over .venv
  if command -v flock >/dev/null 2>&1 && [ -z "${MUSTER_SETUP_LOCKED:-}" ]; then
    MUSTER_SETUP_LOCKED=1 exec flock .setup.lock sh scripts/bootstrap.sh "$@"
  fi
  python=$(find_python) || {
    say "setup: no Python 3.12 or later on PATH, under pyenv or by uv; install one (pyenv install 3.12, or uv python install 3.12) or set MUSTER_PYTHON"
    exit 2
  }
  say "setup: Python $("$python" -c 'import platform; print(platform.python_version())') from $python"
  [ -x .venv/bin/python ] && usable .venv/bin/python || { rm -rf .venv; "$python" -m venv .venv; }
  uv=$(command -v uv 2>/dev/null) || uv=.venv/bin/uv
  if [ ! -x "$uv" ]; then
    say "setup: installing uv into .venv"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null  # made by uv, it has none
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
  fi
  say "setup: installing the locked dependencies"
  VIRTUAL_ENV=$PWD/.venv UV_PYTHON_DOWNLOADS=never "$uv" sync --quiet --frozen --all-extras --inexact --active
  stamp >.venv/.muster-stamp
fi
.venv/bin/python -m sandbox parts "$@" >&2
if [ ! -x .venv/bin/kubectl ]; then # that of PATH, or the built one
  path=$(.venv/bin/python -c 'from sandbox.parts import KUBERNETES, find; print(find(KUBERNETES[-1]).path or "")')
  [ -z "$path" ] || ln -sf "$path" .venv/bin/kubectl
fi
