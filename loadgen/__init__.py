"""Recorded traffic and its open-loop replay."""
