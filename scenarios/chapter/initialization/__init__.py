"""D2L 5.2.2: initialisers, and the laws that they draw from."""
