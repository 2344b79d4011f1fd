"""Plugins: the chapter's tasks, and what lies beyond the chapter."""
