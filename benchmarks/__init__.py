"""Every figure that we claim, measured by a command that anyone can run."""
