"""The only place that imports Locust."""
