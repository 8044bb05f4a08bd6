"""The node agent, which runs pods as local processes."""
