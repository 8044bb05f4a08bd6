"""The sandbox's Kubernetes: the real control plane on loopback, without containers."""
