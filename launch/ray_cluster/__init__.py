"""Gangs of actors on a Ray cluster."""
