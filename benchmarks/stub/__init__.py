"""A venue that answers everything at once, in Go: what load generators are measured against."""
