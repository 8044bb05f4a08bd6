"""The process behind `muster run`: signals, deadlines, guards, the event log, and the children of a run."""
