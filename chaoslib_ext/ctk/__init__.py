"""The only place that imports chaoslib: actions, probes, controls and the runner child."""
