"""A user's own training script, measured from outside: its steps, what they wait for, and how it ends."""
