"""Background work of faults: small processes, found and ended by their tag alone.

A helper is a module here that is run as `python -m chaoslib_ext.helpers.<name> --tag T …`, in a session of its own. It
imports the standard library only, so that it starts in a blink. It never outlives its purpose: it ends when its
deadline passes, when every process that it works on is gone, when its run is closed or nobody looks after that run any
more, and when it is told to (SIGTERM). Its undo is the verb `host.end_tagged`, which needs the tag and nothing else.

* `base`: what a helper does to begin, to go on and to end. `spawn`: starting one. `find`: who carries which tag.
"""
