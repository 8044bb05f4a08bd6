#!/bin/sh
# The main drill: the primary matching engine dies under recorded traffic. Leaves no process.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/muster run drills/catalog/engine-primary-kill.yaml "$@"
