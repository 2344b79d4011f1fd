"""Planning: from what a user asks for to a plan."""
