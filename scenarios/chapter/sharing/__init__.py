"""D2L 5.2: parameters that are shared, and where a nested model keeps them."""
