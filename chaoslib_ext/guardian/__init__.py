"""The process that undoes faults when the run cannot; it imports little, so that it starts fast and stays small."""
