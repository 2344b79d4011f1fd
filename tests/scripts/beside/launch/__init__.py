"""A package of the user's that is called as one of rankbench's."""

HERE = True
