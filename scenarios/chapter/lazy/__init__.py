"""D2L 5.3: lazy initialisation, dimensions that do not match, and inputs of varying width."""
