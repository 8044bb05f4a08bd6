"""Nouns and engine of a rehearsal: definitions, plan, events, evidence, marks and verdict."""
