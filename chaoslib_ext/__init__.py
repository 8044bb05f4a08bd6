"""The outermost layer: faults, guardian, runner, supervisor and command line."""
