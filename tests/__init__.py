"""Tests by layer."""
