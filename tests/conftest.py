"""What every test starts from."""

from __future__ import annotations

import signal

# a shell starts a background job with SIGINT ignored, and what the tests start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
